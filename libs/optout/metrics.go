package optout

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// Counters count the wishes of people. Two services count them under the same names, so the label via says how a person made a wish.
type Counters struct {
	out, in *prometheus.CounterVec
	via     string
}

// The ways in which people make wishes.
const (
	ByText = "text" // a reply to a text
	ByPage = "page" // the page of a short link
)

// NewCounters registers the counters of one way. Those of the sources start at 0: Prometheus misses a counter that first appears as 1.
func NewCounters(r prometheus.Registerer, via string, sources []config.Source) (c Counters, err error) {
	c.via = via
	labels := []string{"source", "provider", "via"}
	err = errors.Join(
		telemetry.Register(r, &c.out, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_opt_outs_total", Help: "Wishes to get no more messages: by a text (via=text), or on the page of a short link (via=page).",
		}, labels)),
		telemetry.Register(r, &c.in, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_opt_ins_total", Help: "Wishes to get messages again, after an opt-out.",
		}, labels)),
	)
	if err != nil {
		return Counters{}, err
	}
	for _, s := range sources {
		c.out.WithLabelValues(s.Name, s.Provider, via)
		c.in.WithLabelValues(s.Name, s.Provider, via)
	}
	return c, nil
}

// Count counts a wish of a person about a source.
func (c Counters) Count(out bool, source, provider string) {
	if out {
		c.out.WithLabelValues(source, provider, c.via).Inc()
	} else {
		c.in.WithLabelValues(source, provider, c.via).Inc()
	}
}
