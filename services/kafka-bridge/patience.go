package kafkabridge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// patience waits between attempts: 100 ms, doubled with each, at most 3 s, with a jitter of a quarter to either side. The
// bridge therefore resumes within 4 s of Kafka's return. There is no last attempt: later events wait in the log, not in memory.
type patience struct {
	topic *topic
	mean  time.Duration
	told  string // the reason that was logged; each is once
}

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 3 * time.Second
)

// failed says so, to the operator and to /readyz, and waits, at most until ctx ends.
func (p *patience) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // told to end, which is no trouble
	}
	p.topic.mu.Lock()
	p.topic.trouble = err
	p.topic.mu.Unlock()
	reason := reason(err)
	p.topic.metrics.failures.WithLabelValues(reason).Inc()
	if p.told != reason {
		p.told = reason
		p.topic.log.WarnContext(ctx, "kafka trouble", "reason", reason, "error", err)
	}
	p.mean = min(max(2*p.mean, firstDelay), maxDelay)
	select {
	case <-ctx.Done():
	case <-time.After(p.mean - p.mean/4 + rand.N(p.mean/2)): //nolint:gosec // it spreads retries; guessing it gains nothing
	}
}

// passed forgets the trouble.
func (p *patience) passed(ctx context.Context) {
	if p.told != "" {
		p.topic.log.InfoContext(ctx, "kafka is back")
	}
	p.mean, p.told = 0, ""
	p.topic.mu.Lock()
	p.topic.trouble = nil
	p.topic.mu.Unlock()
}

// reason is a bounded word for a failure: the broker's own name of it where it said one.
func reason(err error) string {
	var (
		said     kafka.Error
		alert    tls.AlertError
		stranger *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &said):
		return strings.ReplaceAll(strings.ToLower(cmp.Or(said.Title(), "unknown")), " ", "-")
	case errors.Is(err, errMade):
		return "topic-made"
	case errors.As(err, &stranger), errors.As(err, &alert): // theirs, or what they say of ours
		return "certificate"
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition), errors.Is(err, protocol.ErrNoLeader):
		return "no-leader"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	default:
		return "unreachable"
	}
}
