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
			Name: "signrelay_sms_parts_total", Help: "Parts of text messages that the vendor accepted, each of which costs.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.awaited, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_receipts_awaited_total", Help: "Parts that the vendor accepted and whose delivery receipts can come.",
		})),
		telemetry.Register(r, &m.receipts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_receipts_total", Help: "Delivery receipts, by the part's status if they are authentic, and by the result.",
		}, []string{"status", "outcome"})),
	)
	return m, err
}
