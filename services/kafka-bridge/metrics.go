package kafkabridge

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
)

// metrics are the bridge's own metrics.
type metrics struct {
	records   prometheus.Counter
	buried    *prometheus.CounterVec // reason
	failures  *prometheus.CounterVec // reason
	throttled prometheus.Counter
	lag       prometheus.Gauge
	active    prometheus.Gauge
	seconds   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (m metrics, err error) {
	err = errors.Join(
		telemetry.Register(r, &m.records, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_kafka_records_total", Help: "Events that Kafka has acknowledged from all replicas in sync.",
		})),
		telemetry.Register(r, &m.buried, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_kafka_buried_total", Help: "Events that Kafka will never accept; they are in the DLQ.",
		}, []string{"reason"})),
		telemetry.Register(r, &m.failures, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_kafka_failures_total", Help: "Failed attempts to reach Kafka or to write to it; each is retried.",
		}, []string{"reason"})),
		telemetry.Register(r, &m.throttled, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_kafka_throttled_seconds_total", Help: "Time for which brokers asked the bridge to send nothing, because of a quota.",
		})),
		telemetry.Register(r, &m.lag, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_kafka_lag_events", Help: "Events of the log that are not in Kafka yet. Every replica reports all of them: take the maximum, not the sum.",
		})),
		telemetry.Register(r, &m.active, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_kafka_active_replicas", Help: "1 from the active replica, 0 from standby replicas.",
		})),
		telemetry.Register(r, &m.seconds, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "signrelay_kafka_window_seconds", Help: "Time from taking a window of events to their ack.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		})),
	)
	for _, reason := range []string{"undecodable", "message-too-large", "invalid-record"} {
		m.buried.WithLabelValues(reason) // start at 0: Prometheus misses a counter that first appears as 1
	}
	return m, err
}
