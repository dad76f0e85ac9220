package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// CircuitPauses are the options of a vendor's circuit: it opens after three failures in a row, and lets one call through as a probe after
// 1, 2, 4, … 30 s.
var CircuitPauses = limit.BreakerOptions{OpensAfter: 3, First: time.Second, Longest: 30 * time.Second}

// Circuit makes the circuit of a vendor's account. Its state is the metric signrelay_open_circuits. The label vendor has a bounded number of
// values, from the settings. Its changes are logged.
func (e Env) Circuit(vendor string, pauses limit.BreakerOptions) (*limit.Breaker, error) {
	var state *prometheus.GaugeVec
	err := telemetry.Register(e.Metrics, &state, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "signrelay_open_circuits", Help: "1 while a vendor returns only errors and gets only probes, else 0.",
	}, []string{"vendor"}))
	if err != nil {
		return nil, err
	}
	state.WithLabelValues(vendor).Set(0)
	return limit.NewBreaker(pauses, func(open bool, reason string) {
		if open {
			state.WithLabelValues(vendor).Set(1)
			e.Log.Error("circuit open: every call fails; single calls are made as probes until one works", "vendor", vendor, "reason", reason)
			return
		}
		state.WithLabelValues(vendor).Set(0)
		e.Log.Info("circuit closed: a call worked", "vendor", vendor)
	}), nil
}
