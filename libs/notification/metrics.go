package notification

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/telemetry"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// metrics are the metrics of every sender. Their reasons are the causes of outcomes, which are bounded.
type metrics struct {
	sent     *prometheus.CounterVec // source, provider, channel, kind
	failed   *prometheus.CounterVec // source, provider, channel, reason, fault
	unknown  *prometheus.CounterVec // channel
	attempts *prometheus.CounterVec // of failed attempts: channel, reason, fault
	deferred *prometheus.CounterVec // channel, reason
	held     *heldMessages
}

func newMetrics(r prometheus.Registerer, channel string) (m metrics, err error) {
	err = errors.Join(
		telemetry.Register(r, &m.sent, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_sent_total", Help: "Messages that the vendor accepted.",
		}, []string{"source", "provider", "channel", "kind"})),
		telemetry.Register(r, &m.failed, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_failed_total", Help: "Messages that were given up, by reason; each is in the DLQ.",
		}, []string{"source", "provider", "channel", "reason", "fault"})),
		telemetry.Register(r, &m.unknown, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_unknown_total",
			Help: "Messages that were sent after an attempt of unknown outcome; the person may have got them twice.",
		}, []string{"channel"})),
		telemetry.Register(r, &m.attempts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_handover_failures_total", Help: "Failed attempts to send a message, by reason.",
		}, []string{"channel", "reason", "fault"})),
		telemetry.Register(r, &m.deferred, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_deferred_total", Help: "Messages that were scheduled for a later time, by reason; each time counts.",
		}, []string{"channel", "reason"})),
		telemetry.Register(r, &m.held, newHeldMessages(channel)),
	)
	m.unknown.WithLabelValues(channel) // start at 0: Prometheus misses a counter that first appears as 1
	for _, reason := range []string{QuietHours, overDailyTexts} {
		m.deferred.WithLabelValues(channel, reason)
	}
	for _, reason := range []string{causeUnknown, linkForeign} {
		m.failed.WithLabelValues("", "", channel, reason, string(outcome.Ours))
	}
	return m, err
}

// failedAttempt counts an attempt that failed. A message that Signrelay itself postponed was not attempted.
func (m metrics) failedAttempt(n *notifyv1.Notification, o outcome.Outcome) {
	m.attempts.WithLabelValues(event.ChannelName(n.GetChannel()), o.Cause(), string(o.Fault())).Inc()
}

// heldMessages counts the messages that this replica holds, by reason. Each is redelivered within a minute, to this or another replica. If
// this replica has not seen a message for three minutes, the message is no longer held, or another replica holds it.
type heldMessages struct {
	desc *prometheus.Desc

	mu   sync.Mutex
	seen map[string]heldMessage // by the notification's id
}

type heldMessage struct {
	reason string
	at     time.Time
}

const heldSeen = 3 * time.Minute

func newHeldMessages(channel string) *heldMessages {
	return &heldMessages{seen: map[string]heldMessage{}, desc: prometheus.NewDesc("signrelay_held_messages",
		"Messages that wait for the operator, as far as this replica has seen them in the last three minutes.",
		[]string{"reason"}, prometheus.Labels{"channel": channel})}
}

func (h *heldMessages) add(id, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[id] = heldMessage{reason, time.Now()}
}

func (h *heldMessages) remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seen, id)
}

// Describe implements prometheus.Collector.
func (h *heldMessages) Describe(c chan<- *prometheus.Desc) { c <- h.desc }

// Collect implements prometheus.Collector.
func (h *heldMessages) Collect(c chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := map[string]int{}
	for id, m := range h.seen {
		if time.Since(m.at) > heldSeen {
			delete(h.seen, id)
			continue
		}
		counts[m.reason]++
	}
	for reason, n := range counts {
		c <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(n), reason)
	}
}
