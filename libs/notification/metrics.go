package notification

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// metrics are what every sender tells. Reasons are those of HandoverError, which are bounded.
type metrics struct {
	sent     *prometheus.CounterVec // source, provider, channel, kind
	failed   *prometheus.CounterVec // source, provider, channel, reason
	unknown  *prometheus.CounterVec // channel
	troubles *prometheus.CounterVec // channel, reason
}

func newMetrics(r prometheus.Registerer, channel string) (m metrics, err error) {
	err = errors.Join(
		telemetry.Register(r, &m.sent, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_sent_total", Help: "Messages that the outside provider took.",
		}, []string{"source", "provider", "channel", "kind"})),
		telemetry.Register(r, &m.failed, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_failed_total", Help: "Messages that were given up, by why; each is in the DLQ.",
		}, []string{"source", "provider", "channel", "reason"})),
		telemetry.Register(r, &m.unknown, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_notifications_unknown_total",
			Help: "Messages that were sent after an attempt of unknown outcome, so that their reader may have got them twice.",
		}, []string{"channel"})),
		telemetry.Register(r, &m.troubles, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_handover_failures_total", Help: "Attempts to hand a message to the outside provider that failed, by why.",
		}, []string{"channel", "reason"})),
	)
	m.unknown.WithLabelValues(channel) // 0, so that the first is seen as growth
	return m, err
}

// troubled counts an attempt that was made and failed; one that was put off by our own choice was not made.
func (m metrics) troubled(n *notifyv1.Notification, err error) {
	var trouble *HandoverError
	if errors.As(err, &trouble) {
		m.troubles.WithLabelValues(ChannelName(n.GetChannel()), trouble.Reason).Inc()
	}
}
