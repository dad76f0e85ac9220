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
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// metrics count attempts: one that is made again, because its messages could not be stored, counts again.
type metrics struct {
	requested, untold, asked *prometheus.CounterVec
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
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_asked_total",
			Help: "Questions to the provider's REST API for a document, by how they ended.",
		}, []string{"source", "provider", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.requested, m.untold, m.asked} {
		if err := r.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register the enricher's metrics: %w", err)
		}
	}
	return m, nil
}

// begin says 0 of a source before its first question, so that the first failure is seen as one.
func (m metrics) begin(sources providers.Sources) {
	for key, s := range sources {
		if s.API == nil {
			continue
		}
		for _, result := range []string{"answered", "refused", "failed"} {
			m.asked.WithLabelValues(key.Name, key.Provider, result)
		}
		for _, c := range event.Channels {
			reasons := slices.Concat(unusable[c.Address], c.Blocks, []string{noAddress, noLink, linkInvalid, documentOver, unconfirmed})
			for _, reason := range reasons {
				m.untold.WithLabelValues(key.Name, key.Provider, c.Name, reason)
			}
		}
		for _, reason := range []string{noAddress, noChannel, noSigners, noSenderAddress} {
			m.untold.WithLabelValues(key.Name, key.Provider, "", reason)
		}
	}
}

// unusable are the reasons why an address cannot be used, by its kind.
var unusable = map[event.AddressKind][]string{
	event.MobileNumber: {numberInvalid, numberIncomplete, numberLetters, numberSeveral},
	event.EmailAddress: {addressInvalid, addressSeveral},
}

// answered counts how a question ended: answered, also where the answer is that there is nothing for us; refused, where no
// question helps until the operator has mended something; throttled; or failed. With our own limit nobody was asked.
func (m metrics) answered(s config.Source, err error) {
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
	m.asked.WithLabelValues(s.Name, s.Provider, result).Inc()
}

func (m metrics) count(p planned) {
	for _, n := range p.told {
		m.requested.WithLabelValues(n.GetSource(), n.GetProvider(), event.KindName(n.GetKind()), event.ChannelName(n.GetChannel())).Inc()
	}
	for _, u := range p.untold {
		n := u.message
		channel := ""
		if n.GetChannel() != notifyv1.Channel_CHANNEL_UNSPECIFIED { // a sender without any address
			channel = event.ChannelName(n.GetChannel())
		}
		m.untold.WithLabelValues(n.GetSource(), n.GetProvider(), channel, u.reason).Inc()
	}
}
