package stage

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what all stages of a program count into; every label is bounded.
type metrics struct {
	attempts *prometheus.CounterVec   // stage, outcome, reason
	seconds  *prometheus.HistogramVec // stage
	unknown  *prometheus.CounterVec   // stage
}

func newMetrics(r prometheus.Registerer) (m metrics, err error) {
	m.attempts, err = shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_stage_attempts_total", Help: "Attempts at an input, by what happened to it.",
	}, []string{"stage", "outcome", "reason"}))
	if err != nil {
		return m, err
	}
	m.seconds, err = shared(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "signrelay_stage_seconds", Help: "Time of one attempt, from delivery to answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"stage"}))
	if err != nil {
		return m, err
	}
	m.unknown, err = shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_stage_unknown_total", Help: "Attempts after which, or before which, nobody knew whether the effect had happened.",
	}, []string{"stage"}))
	return m, err
}

// shared registers a collector, or returns the one that another stage of the same program registered before.
func shared[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	if before := (prometheus.AlreadyRegisteredError{}); errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("register metric: %w", err)
	}
	return c, nil
}
