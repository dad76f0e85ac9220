package kafkabridge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// status reports the state of the bridge in /readyz, the log and the metrics.
type status struct {
	topic   *topic
	metrics metrics
	logged  string // the reason of the failure that was logged last; each reason is logged once
}

// Failed reports a failed attempt to reach Kafka or to write.
func (s *status) Failed(ctx context.Context, err error) {
	s.topic.setFailure(err)
	reason := reason(err)
	s.metrics.failures.WithLabelValues(reason).Inc()
	if s.logged != reason {
		s.logged = reason
		s.topic.log.WarnContext(ctx, "kafka failed", "reason", reason, "error", err)
	}
}

// Passed ends the failure.
func (s *status) Passed(ctx context.Context) {
	if s.logged != "" {
		s.topic.log.InfoContext(ctx, "kafka is back")
	}
	s.logged = ""
	s.topic.setFailure(nil)
}

// Active records whether this replica is active or standby.
func (s *status) Active(active bool) {
	s.metrics.active.Set(map[bool]float64{true: 1}[active])
	s.topic.log.Info("kafka-bridge", "active", active)
}

// Waiting reports the lag: the events that are not in Kafka yet.
func (s *status) Waiting(events int) { s.metrics.lag.Set(float64(events)) }

// Dropped counts an event that Kafka will never take.
func (s *status) Dropped(reason string) { s.metrics.buried.WithLabelValues(reason).Inc() }

// Window reports how long a window took.
func (s *status) Window(_ context.Context, _ int, took time.Duration) {
	s.metrics.seconds.Observe(took.Seconds())
}

// reason returns a bounded name of a failure: the broker's own name if there is one.
func reason(err error) string {
	var (
		named     kafka.Error
		alert     tls.AlertError
		untrusted *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &named):
		return strings.ReplaceAll(strings.ToLower(cmp.Or(named.Title(), "unknown")), " ", "-")
	case errors.Is(err, errCreated):
		return "topic-made"
	case errors.As(err, &untrusted), errors.As(err, &alert): // their certificate, or their alert about ours
		return "certificate"
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition), errors.Is(err, protocol.ErrNoLeader):
		return "no-leader"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	default:
		return "unreachable"
	}
}
