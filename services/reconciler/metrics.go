package reconciler

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/providers"
)

type metrics struct {
	late           *prometheus.CounterVec
	nights         *prometheus.GaugeVec
	contradictions *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	labels := []string{"source", "provider"}
	m := metrics{
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_facts_found_late_total",
			Help: "Facts that no callback brought, and that a reconciliation found at the provider and published.",
		}, labels),
		nights: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signrelay_reconciler_failed_nights",
			Help: "Nightly reconciliations that failed in sequence; 0 after one that succeeded.",
		}, labels),
		contradictions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signrelay_reconciler_contradicting_documents",
			Help: "Documents about which the log and the provider disagreed in the last reconciliation.",
		}, labels),
	}
	for _, c := range []prometheus.Collector{m.late, m.nights, m.contradictions} {
		if err := r.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register the reconciler's metrics: %w", err)
		}
	}
	return m, nil
}

// begin initialises a source's series to 0: Prometheus misses a counter that first appears as 1.
func (m metrics) begin(key providers.SourceKey) {
	m.late.WithLabelValues(key.Name, key.Provider)
	m.show(key, record{})
}

// show sets the gauges from the state that all replicas share.
func (m metrics) show(key providers.SourceKey, is record) {
	m.nights.WithLabelValues(key.Name, key.Provider).Set(float64(is.FailedNights))
	contradicting := 0
	if is.Last != nil {
		contradicting = is.Last.Contradicting
	}
	m.contradictions.WithLabelValues(key.Name, key.Provider).Set(float64(contradicting))
}

func (m metrics) found(key providers.SourceKey, n int) {
	m.late.WithLabelValues(key.Name, key.Provider).Add(float64(n))
}
