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
	if err := report(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

const (
	connections = 64
	requests    = 10_000 // a round takes half a second, so that other load on the machine affects both servers equally
	rounds      = 9
)

// compared is the outcome of a load on ingest and on the bare handler, in alternating rounds.
type compared struct {
	perSecond, ofBare float64
	p50, p99          time.Duration // the means of the rounds
	ownCPU, ofBareCPU float64       // of the loaded process, in µs a callback, and as a ratio to the bare handler's
}

// compare sends rounds of n callbacks to a URL of a process and to the bare handler.
func compare(b *testing.B, url string, loaded *testenv.Process, n, connections int, name string) compared {
	b.Helper()
	bare, reference := testenv.BareServer(b)
	defer reference.Kill()
	load(b, url, callbacks(2000, "warm"+name, "recipient.opened"), connections)
	load(b, bare, callbacks(2000, "warm"+name, "recipient.opened"), connections)
	var c compared
	var theirs, theirCPU float64
	for round := range rounds {
		batch := callbacks(n, fmt.Sprintf("%s%d-%d", name, time.Now().UnixNano()%1e6, round), "recipient.opened")
		before := testenv.CPU(b, reference.PID())
		other := load(b, bare, batch, connections)
		otherCPU := testenv.CPU(b, reference.PID()) - before
		before = testenv.CPU(b, loaded.PID())
		got := load(b, url, batch, connections)
		used := testenv.CPU(b, loaded.PID()) - before
		b.Logf("round %d: %.0f/s p50 %v p99 %v, own CPU %v a callback; bare %.0f/s, %v", round,
			got.perSecond, got.p50.Round(10*time.Microsecond), got.p99.Round(10*time.Microsecond), used/time.Duration(n),
			other.perSecond, otherCPU/time.Duration(n))
		c.perSecond, theirs = c.perSecond+got.perSecond/rounds, theirs+other.perSecond/rounds
		c.p50, c.p99 = c.p50+got.p50/rounds, c.p99+got.p99/rounds
		c.ownCPU += float64(used.Microseconds()) / float64(n) / rounds
		theirCPU += float64(otherCPU.Microseconds()) / float64(n) / rounds
	}
	c.ofBare, c.ofBareCPU = c.perSecond/theirs, c.ownCPU/theirCPU
	b.ReportMetric(c.perSecond, "callbacks/s")
	b.ReportMetric(c.ofBare, "of-bare")
	b.ReportMetric(c.ownCPU, "own-CPU-µs/callback")
	b.ReportMetric(0, "ns/op")
	return c
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// BenchmarkAccepted measures accepted callbacks per second (1 KiB, signed, unique: verify, normalize, Redis, stream ack) and ingest's own
// CPU per callback, compared with a bare handler in the same run. With fsync, NATS has sync_interval always; without it, the server's
// default of two minutes.
func BenchmarkAccepted(b *testing.B) {
	for _, at := range []struct {
		row         string
		fsync       bool
		connections int
	}{{"accepted-64", false, 64}, {"accepted-256", false, 256}, {"fsync-64", true, 64}, {"fsync-256", true, 256}} {
		b.Run(at.row, func(b *testing.B) {
			h := testenv.Ingest(b, at.fsync)
			n := requests
			if at.fsync {
				n /= 2
			}
			for b.Loop() {
				c := compare(b, h.IngestURL+"/webhooks/pleasesign/demo", h.Processes["ingest"], n, at.connections, "")
				figure(b, at.row+"-of-bare", c.ofBare)
				if at.connections == 64 {
					figure(b, at.row, c.perSecond)
					figure(b, at.row+"-p50", milliseconds(c.p50))
					figure(b, at.row+"-p99", milliseconds(c.p99))
				}
				if at.row == "accepted-64" {
					figure(b, "own-cpu", c.ownCPU)
					figure(b, "own-cpu-of-bare", c.ofBareCPU)
				}
			}
		})
	}
}

// BenchmarkFloor measures the least that a callback needs, in a program without ingest's code: net/http, an HMAC, a claim and a confirmation in
// shared Redis pipelines, and one publish with its ack. What ingest uses above that is its own work.
func BenchmarkFloor(b *testing.B) {
	h := testenv.Ingest(b, false)
	url, p := testenv.BareServer(b, h.NATSURL, h.Redis.URL)
	for b.Loop() {
		c := compare(b, url, p, requests, connections, "floor")
		figure(b, "own-cpu-floor", c.ofBareCPU)
		figure(b, "accepted-floor", c.ofBare)
	}
}

// BenchmarkRun measures accepted callbacks per second of `signrelay run` without Redis, which writes each message to the disk before its ack.
func BenchmarkRun(b *testing.B) {
	h := testenv.Standalone(b)
	for b.Loop() {
		c := compare(b, h.IngestURL+"/webhooks/pleasesign/demo", h.Processes["signrelay"], requests/5, connections, "run")
		figure(b, "run-64", c.perSecond)
		figure(b, "run-64-of-bare", c.ofBare)
	}
}
