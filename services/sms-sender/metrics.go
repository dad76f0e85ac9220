package smssender

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/telemetry"
)

type metrics struct {
	parts    *prometheus.CounterVec // source, provider
	awaited  prometheus.Counter
	receipts *prometheus.CounterVec // status, outcome
	inbound  *prometheus.CounterVec // outcome
	wishes   optout.Counters
	replies  *prometheus.CounterVec // source, provider, alert
}

// initReplies initialises the counters of a source to 0: Prometheus misses a counter that first appears as 1.
func (m metrics) initReplies(source, provider string) {
	m.replies.WithLabelValues(source, provider, "true")
	m.replies.WithLabelValues(source, provider, "false")
}

func newMetrics(r prometheus.Registerer, sources []config.Source) (m metrics, err error) {
	m.wishes, err = optout.NewCounters(r, optout.ByText, sources)
	err = errors.Join(err,
		telemetry.Register(r, &m.parts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_sms_parts_total", Help: "Parts of text messages that the vendor accepted; each part is billed.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.awaited, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_receipts_awaited_total", Help: "Parts that the vendor accepted and for which delivery receipts can arrive.",
		})),
		telemetry.Register(r, &m.receipts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_receipts_total", Help: "Delivery receipts, by the part's status if they are authentic, and by result.",
		}, []string{"status", "outcome"})),
		telemetry.Register(r, &m.inbound, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_inbound_texts_total", Help: "Texts that people sent to the account, and parts of them, by result.",
		}, []string{"outcome"})),
		telemetry.Register(r, &m.replies, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_replies_total", Help: "Other replies to texts; alert is the setting opt_out.alert_replies.",
		}, []string{"source", "provider", "alert"})),
	)
	if err == nil {
		for _, result := range inboundResults {
			m.inbound.WithLabelValues(result)
		}
	}
	return m, err
}
