package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// BenchmarkTakeover measures how long the work of a killed replica waits: two replicas have inputs in flight, one is killed, and the other
// settles all of them. It kills replicas of the stages that wait for another party.
func BenchmarkTakeover(b *testing.B) {
	const kills = 10 // of each stage
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, responseTime)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, h.Address("SIGNRELAY_SMTP_ADDR")) })
		for _, service := range testenv.Services[1:] {
			h.StartService(b, service, service)
		}
		next := 0
		var all []float64
		for _, stage := range []string{flow.Enricher, flow.SMSSender} {
			seen := map[string]*testenv.Register{flow.Enricher: &upstream.Requested, flow.SMSSender: &upstream.Sent}[stage]
			var took []float64
			for range kills {
				second := h.StartReplica(b, stage, 2)
				began := len(seen.Times())
				load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrapFrom(next, connections, "request_sent"), connections)
				next += connections
				h.Until(b, "the stage works", func() bool { return len(seen.Times()) > began })
				second.Kill()
				killed := time.Now()
				h.WaitIdle(b)
				took = append(took, time.Since(killed).Seconds())
			}
			slices.Sort(took)
			b.Logf("%s: %.1f", stage, took)
			all = append(all, took...)
		}
		slices.Sort(all)
		p95 := all[len(all)*95/100]
		figure(b, "takeover", p95)
		b.ReportMetric(p95, "s-p95")
	}
	b.ReportMetric(0, "ns/op")
}
