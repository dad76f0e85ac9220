package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// BenchmarkKept compares a source whose callbacks the log keeps with one whose callbacks it does not keep, in alternating rounds of one run: callbacks
// per second, CPU of ingest and of NATS, and bytes of the log, for each callback of 1 KiB.
func BenchmarkKept(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%v", fsync), func(b *testing.B) {
			h := testenv.Ingest(b, fsync)
			n, rounds := requests/2, 12
			if fsync {
				n /= 4
			}
			js := h.JetStream(b)
			for b.Loop() {
				var perSecond, ingest, nats, bytes [2]float64
				for round := -1; round < rounds; round++ {
					for _, kept := range []int{max(round, 0) % 2, 1 - max(round, 0)%2} { // each is first in half of the rounds
						source := []string{"unkept", "demo"}[kept]
						batch := callbacks(n, fmt.Sprintf("%s%d-%d", source, time.Now().UnixNano()%1e6, round), "recipient.opened")
						before := [2]time.Duration{testenv.CPU(b, h.Processes["ingest"].PID()), testenv.CPU(b, h.Processes["nats"].PID())}
						size := logBytes(b, js)
						got := load(b, h.IngestURL+"/webhooks/pleasesign/"+source, batch, connections)
						if round < 0 { // warm
							continue
						}
						perSecond[kept] += got.perSecond / float64(rounds)
						ingest[kept] += float64((testenv.CPU(b, h.Processes["ingest"].PID()) - before[0]).Microseconds()) / float64(n*rounds)
						nats[kept] += float64((testenv.CPU(b, h.Processes["nats"].PID()) - before[1]).Microseconds()) / float64(n*rounds)
						bytes[kept] += float64(logBytes(b, js)-size) / float64(n*rounds)
					}
				}
				b.ReportMetric(perSecond[1]/perSecond[0], "throughput-ratio")
				for kept, name := range []string{"off", "on"} {
					b.ReportMetric(ingest[kept], name+"-ingest-CPU-µs")
					b.ReportMetric(nats[kept], name+"-NATS-CPU-µs")
					b.ReportMetric(bytes[kept], name+"-log-bytes")
				}
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// logBytes returns the size of the log.
func logBytes(b *testing.B, js jetstream.JetStream) uint64 {
	b.Helper()
	s, err := js.Stream(b.Context(), flow.Signing)
	if err != nil {
		b.Fatal(err)
	}
	return s.CachedInfo().State.Bytes
}
