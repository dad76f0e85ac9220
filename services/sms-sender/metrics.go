package smssender

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
)

type metrics struct {
	parts    *prometheus.CounterVec // source, provider
	awaited  prometheus.Counter
	receipts *prometheus.CounterVec // status, outcome
}

func newMetrics(r prometheus.Registerer) (m metrics, err error) {
	err = errors.Join(
		telemetry.Register(r, &m.parts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_sms_parts_total", Help: "Parts of text messages that the vendor accepted; each part is billed.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.awaited, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_receipts_awaited_total", Help: "Parts that the vendor accepted and for which delivery receipts can arrive.",
		})),
		telemetry.Register(r, &m.receipts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_receipts_total", Help: "Delivery receipts, by the part's status if they are authentic, and by result.",
		}, []string{"status", "outcome"})),
	)
	return m, err
}
