package service

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsAgreeWithReadyz(t *testing.T) {
	t.Parallel()
	h := new(Health)
	h.Add("nats", passes)
	h.AddSoft("redis", func(context.Context) error { return errors.New("away") })
	r := prometheus.NewPedanticRegistry()
	describe(r, "ingest", h)
	for _, step := range []struct {
		do    func()
		ready string
	}{{func() {}, "0"}, {h.setUp, "1"}, {h.drain, "0"}} {
		step.do()
		want := `
			# HELP signrelay_ready 1 while /readyz returns 200, else 0.
			# TYPE signrelay_ready gauge
			signrelay_ready{component="ingest"} ` + step.ready + `
			# HELP signrelay_ready_checks 1 for a check of /readyz that passes, else 0; degrades is true if the program is ready without it.
			# TYPE signrelay_ready_checks gauge
			signrelay_ready_checks{check="nats",component="ingest",degrades="false"} 1
			signrelay_ready_checks{check="redis",component="ingest",degrades="true"} 0
			# HELP signrelay_build_info 1, with the program's version.
			# TYPE signrelay_build_info gauge
			signrelay_build_info{component="ingest",version="` + Version() + `"} 1
		`
		if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
}
