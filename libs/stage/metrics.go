package stage

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
)

// metrics are the metrics of all stages of a program; every label is bounded.
type metrics struct {
	attempts *prometheus.CounterVec   // stage, outcome, reason
	seconds  *prometheus.HistogramVec // stage
	age      *prometheus.HistogramVec // stage
	unknown  *prometheus.CounterVec   // stage
}

func newMetrics(r prometheus.Registerer) (m metrics, err error) {
	err = errors.Join(
		telemetry.Register(r, &m.attempts, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_stage_attempts_total", Help: "Attempts at an input, by outcome.",
		}, []string{"stage", "outcome", "reason"})),
		telemetry.Register(r, &m.seconds, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signrelay_stage_seconds", Help: "Time of one attempt, from delivery to ack, nak or dead letter.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"stage"})),
		telemetry.Register(r, &m.age, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signrelay_stage_age_seconds", Help: "Time from the storage of an input until it was done, skipped or given up.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400},
		}, []string{"stage"})),
		telemetry.Register(r, &m.unknown, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_stage_unknown_total", Help: "Attempts after which, or before which, it was unknown whether the effect had happened.",
		}, []string{"stage"})),
	)
	return m, err
}

// begin starts the counters of rare outcomes at 0: Prometheus misses a counter that first appears as 1.
func (m metrics) begin(stage string, effect bool) {
	for _, reason := range []string{"permanent", "attempts-exhausted", "panic", "undecodable"} {
		m.attempts.WithLabelValues(stage, string(giveUp), reason)
	}
	m.attempts.WithLabelValues(stage, string(done), "")
	if effect {
		m.unknown.WithLabelValues(stage)
	}
}
