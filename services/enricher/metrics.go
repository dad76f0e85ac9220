package enricher

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// metrics count attempts: one that is made again, because its messages could not be stored, counts again.
type metrics struct {
	requested, untold *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		requested: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_requested_total",
			Help: "Messages that were planned, one a person and channel.",
		}, []string{"source", "provider", "kind", "channel"}),
		untold: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_untold_total",
			Help: "Messages that somebody was to get on a channel and cannot, by reason.",
		}, []string{"source", "provider", "channel", "reason"}),
	}
	for _, c := range []prometheus.Collector{m.requested, m.untold} {
		if err := r.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register the enricher's metrics: %w", err)
		}
	}
	return m, nil
}

func (m metrics) count(p planned) {
	for _, n := range p.told {
		m.requested.WithLabelValues(n.GetSource(), n.GetProvider(), notification.KindName(n.GetKind()), notification.ChannelName(n.GetChannel())).Inc()
	}
	for _, u := range p.untold {
		n := u.message
		channel := ""
		if n.GetChannel() != notifyv1.Channel_CHANNEL_UNSPECIFIED { // a sender without any address
			channel = notification.ChannelName(n.GetChannel())
		}
		m.untold.WithLabelValues(n.GetSource(), n.GetProvider(), channel, u.reason).Inc()
	}
}
