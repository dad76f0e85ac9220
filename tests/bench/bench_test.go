package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

const (
	connections = 64
	requests    = 10_000 // a round takes half a second, so that other load on the machine affects both servers equally
	rounds      = 9
)

// BenchmarkAccepted measures accepted callbacks per second (1 KiB, signed, unique: verify, normalize, Redis, stream ack) and ingest's own
// CPU per callback, compared with a bare handler in the same run. With fsync, NATS has sync_interval always; without it, the server's
// default of two minutes.
func BenchmarkAccepted(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%v", fsync), func(b *testing.B) {
			h := testenv.Ingest(b, fsync)
			bare := "http://" + testenv.BareServer(b)
			ingest := h.IngestURL + "/webhooks/pleasesign/demo"
			load(b, ingest, callbacks(2000, "warm"), connections)
			load(b, bare, callbacks(2000, "warm"), connections)
			n := requests
			if fsync {
				n /= 2
			}
			var ours, theirs, own float64
			for b.Loop() {
				for round := range rounds {
					batch := callbacks(n, fmt.Sprintf("%d-%d", time.Now().UnixNano()%1e6, round))
					reference := load(b, bare, batch, connections)
					before := testenv.CPU(b, h.Processes["ingest"].PID())
					got := load(b, ingest, batch, connections)
					used := testenv.CPU(b, h.Processes["ingest"].PID()) - before
					b.Logf("round %d: %.0f/s p50 %v p99 %v, own CPU %v a callback; bare %.0f/s", round,
						got.perSecond, got.p50.Round(10*time.Microsecond), got.p99.Round(10*time.Microsecond), used/time.Duration(n), reference.perSecond)
					ours, theirs, own = ours+got.perSecond, theirs+reference.perSecond, own+float64(used.Microseconds())/float64(n)
				}
			}
			b.ReportMetric(ours/rounds, "callbacks/s")
			b.ReportMetric(ours/theirs, "of-bare")
			b.ReportMetric(own/rounds, "own-CPU-µs/callback")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkStandalone measures the start and the idle memory of `signrelay run`.
func BenchmarkStandalone(b *testing.B) {
	for b.Loop() {
		testenv.Program(b, "signrelay")
		h := testenv.Standalone(b)
		h.Processes["signrelay"].Stop()
		began := time.Now()
		h.Processes["signrelay"].Start()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-until-ready")
		b.ReportMetric(float64(testenv.Memory(b, h.Processes["signrelay"].PID()))/1e6, "MB-idle")
	}
	b.ReportMetric(0, "ns/op")
}
