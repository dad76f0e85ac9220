package ingest

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/telemetry"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// metrics of ingest. Every label is bounded: sources and providers by the settings, outcomes and reasons by the code.
type metrics struct {
	requests      *prometheus.CounterVec
	quarantined   *prometheus.CounterVec
	called        *prometheus.GaugeVec
	seconds       *prometheus.HistogramVec
	events        *prometheus.CounterVec
	timesUnread   *prometheus.CounterVec
	unremembered  prometheus.Counter
	withoutMemory prometheus.Gauge
	unconfirmed   prometheus.Counter
	logAsked      prometheus.Counter
	missing       prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{}
	return m, errors.Join(
		telemetry.Register(r, &m.requests, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_ingest_requests_total", Help: "Responses to callbacks, by outcome and its reason.",
		}, []string{"source", "provider", "outcome", "reason"})),
		telemetry.Register(r, &m.quarantined, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_ingest_quarantined_total", Help: "Authentic callbacks, and items of batches, that could not be read and are stored in QUARANTINE; the reason is a label of signrelay_ingest_requests_total.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.called, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signrelay_ingest_last_callback_timestamp_seconds",
			Help: "When this replica last accepted an authentic callback, in Unix time.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.seconds, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signrelay_ingest_seconds", Help: "Time from a callback's headers to its response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"provider"})),
		telemetry.Register(r, &m.events, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_ingest_events_total", Help: "Events stored in the log, by canonical type.",
		}, []string{"type"})),
		telemetry.Register(r, &m.timesUnread, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_ingest_times_unread_total",
			Help: "Events stored with an ambiguous time in their callback; the attribute signrelay.time_unread names its field.",
		}, []string{"source", "provider"})),
		telemetry.Register(r, &m.unremembered, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_ingest_unremembered_total", Help: "Events accepted while the dedupe store was away.",
		})),
		telemetry.Register(r, &m.withoutMemory, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_ingest_without_memory", Help: "1 while the dedupe store refuses claims and ingest searches the log instead, else 0.",
		})),
		telemetry.Register(r, &m.unconfirmed, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_ingest_unconfirmed_total", Help: "Claims that could not be confirmed or released in the dedupe store; they expire.",
		})),
		telemetry.Register(r, &m.logAsked, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_ingest_log_asked_total", Help: "Events for which the log was searched.",
		})),
		telemetry.Register(r, &m.missing, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_ingest_missing_total",
			Help: "Events that the dedupe store confirmed but the log lacked; they are stored again. NATS lost them, or was restored from a backup.",
		})),
	)
}

// begin initialises a source's counters to 0: Prometheus misses a counter that first appears as 1, and an alert cannot see that a missing
// counter does not grow.
func (m *metrics) begin(source, provider string) {
	m.requests.WithLabelValues(source, provider, "accepted", "")
	m.requests.WithLabelValues(source, provider, "duplicate", "")
	m.requests.WithLabelValues(source, provider, "refused", "unauthentic")
	m.requests.WithLabelValues(source, provider, "unavailable", "log-away")
	m.quarantined.WithLabelValues(source, provider)
	m.timesUnread.WithLabelValues(source, provider)
}

// stored counts a stored event.
func (m *metrics) stored(e *signingv1.SigningEvent) {
	m.events.WithLabelValues(e.GetType()).Inc()
	if e.GetAttributes()[pack.TimeUnread] != "" {
		m.timesUnread.WithLabelValues(e.GetSource(), e.GetProvider()).Inc()
	}
}

func (m *metrics) observe(source, provider string, a response, took time.Duration) {
	m.requests.WithLabelValues(source, provider, a.outcome, a.reason).Inc()
	if a.kept > 0 {
		m.quarantined.WithLabelValues(source, provider).Add(float64(a.kept))
	}
	if a.status < 300 && a.outcome != challenged {
		m.called.WithLabelValues(source, provider).SetToCurrentTime()
	}
	m.seconds.WithLabelValues(provider).Observe(took.Seconds())
}
