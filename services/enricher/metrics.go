package enricher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// metrics count attempts. An attempt that is repeated because its messages could not be stored counts again.
type metrics struct {
	requested, suppressed, calls, fallbacks *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		requested: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_requested_total",
			Help: "Messages that were planned, one for each person and channel.",
		}, []string{"source", "provider", "kind", "channel"}),
		suppressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_untold_total",
			Help: "Messages that a person should get on a channel and cannot, by reason.",
		}, []string{"source", "provider", "channel", "reason"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_asked_total",
			Help: "Requests to the provider's REST API for a document, by result.",
		}, []string{"source", "provider", "outcome"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_fallbacks_total",
			Help: "Invitations and reminders that did not arrive on a channel, by reason and by the other channel; to is sender if the sender was notified, and none if no message was needed any more.",
		}, []string{"source", "provider", "reason", "to"}),
	}
	for _, c := range []prometheus.Collector{m.requested, m.suppressed, m.calls, m.fallbacks} {
		if err := r.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register the enricher's metrics: %w", err)
		}
	}
	return m, nil
}

// begin initialises a source's counters to 0: Prometheus misses a counter that first appears as 1.
func (m metrics) begin(sources providers.Sources) {
	for key, s := range sources {
		if s.API == nil {
			continue
		}
		for _, result := range []string{"answered", "refused", "failed"} {
			m.calls.WithLabelValues(key.Name, key.Provider, result)
		}
		for _, reason := range fallback.Reasons {
			for _, to := range append(event.ChannelNames(), fallback.ToSender) {
				m.fallbacks.WithLabelValues(key.Name, key.Provider, reason, to)
			}
		}
		for _, c := range event.Channels {
			reasons := slices.Concat(recipient.Unusable(c.Address), c.Blocks, []string{recipient.NoAddress, recipient.NoLink, recipient.LinkInvalid, documentOver, unconfirmed})
			for _, reason := range reasons {
				m.suppressed.WithLabelValues(key.Name, key.Provider, c.Name, reason)
			}
		}
		for _, reason := range []string{recipient.NoAddress, recipient.NoChannel, recipient.NoSigners, recipient.NoSenderAddress} {
			m.suppressed.WithLabelValues(key.Name, key.Provider, "", reason)
		}
	}
}

// countCall counts a request by its result: answered, also if the document does not exist; refused, if the operator must fix something first;
// throttled; or failed. A request that our own limit stopped was not sent, and is not counted.
func (m metrics) countCall(s config.Source, err error) {
	var call *pack.CallError
	result := "failed"
	switch kind := outcome.Of(err).Kind(); {
	case kind == outcome.Waits, errors.Is(err, context.Canceled):
		return
	case err == nil, errors.Is(err, pack.ErrNotOurs):
		result = "answered"
	case !errors.As(err, &call):
	case kind == outcome.Held:
		result = "refused"
	case call.Status == http.StatusTooManyRequests:
		result = "throttled"
	case kind == outcome.GaveUp, call.Status == http.StatusNotFound:
		result = "answered"
	}
	m.calls.WithLabelValues(s.Name, s.Provider, result).Inc()
}

func (m metrics) count(made recipient.Messages) {
	for _, n := range made.Made {
		m.requested.WithLabelValues(n.GetSource(), n.GetProvider(), event.KindName(n.GetKind()), event.ChannelName(n.GetChannel())).Inc()
	}
	for _, u := range made.Suppressed {
		n := u.Message
		channel := ""
		if n.GetChannel() != notifyv1.Channel_CHANNEL_UNSPECIFIED { // a sender without any address
			channel = event.ChannelName(n.GetChannel())
		}
		m.suppressed.WithLabelValues(n.GetSource(), n.GetProvider(), channel, u.Reason).Inc()
	}
}
