package bench

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The log of the benchmark: each document has its events far apart, as in a log of weeks, and every third document is erased.
const (
	eraseDocuments = 300_000
	eraseEvents    = 5 // of a document
	eraseEvery     = 3
)

// BenchmarkEraseScattered erases documents that are scattered over a large log, with the command and a NATS server that syncs each removal to the
// disk: 10^5 documents with 500,000 events, if the server encrypts its files; a few documents if it does not, because it then writes a file of 8 MiB
// for each event.
func BenchmarkEraseScattered(b *testing.B) {
	for _, c := range []struct {
		name    string
		start   func(testing.TB, func(*testenv.Env) string) *testenv.Env
		targets int
		args    []string
	}{
		{"encrypted", testenv.Encrypted, eraseDocuments / eraseEvery, nil},
		{"not overwritten", testenv.LazySync, eraseDocuments / eraseEvery, []string{"--no-overwrite"}},
		{"overwritten", testenv.LazySync, 200, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				h := c.start(b, func(*testenv.Env) string {
					return "sources:\n  - {name: demo, provider: clickwrap, webhook: {secrets: [\"12345\"]}}\n"
				})
				h.Timeout = 15 * time.Minute
				scatter(b, h.JetStream(b))
				h.SyncNATS(b)
				var list strings.Builder
				for i := range c.targets {
					fmt.Fprintln(&list, scattered(i*eraseEvery))
				}
				file := filepath.Join(b.TempDir(), "documents")
				if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
				cmd := h.Prepared(ctx, b, append([]string{"erase", "--file", file, "--reason", "bench", "--yes"}, c.args...)...)
				server := h.Processes["nats"].PID()
				before, began := testenv.CPU(b, server), time.Now()
				out := &timed{began: began}
				cmd.Stdout, cmd.Stderr = out, out
				err := cmd.Run()
				cancel()
				took := time.Since(began)
				if err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				cpu := testenv.CPU(b, server) - before
				b.Logf("%d documents: %v; CPU of the command %v, of NATS %v\n%s", c.targets, took.Round(time.Second/10), own.Round(time.Second/10), cpu.Round(time.Second/10), out)
				events := float64(c.targets * eraseEvents)
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(float64(took.Microseconds())/events, "µs/event")
				b.ReportMetric(float64((own+cpu).Microseconds())/events, "CPU-µs/event")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// timed is the output of a command with the time of each write.
type timed struct {
	began time.Time
	strings.Builder
}

func (t *timed) Write(p []byte) (int, error) {
	fmt.Fprintf(&t.Builder, "%4.0fs %s", time.Since(t.began).Seconds(), p)
	return len(p), nil
}

// scattered returns the id of a document.
func scattered(i int) string {
	h := fnv.New64a()
	fmt.Fprint(h, i)
	return fmt.Sprintf("d%016x", h.Sum64())
}

// scatter stores the events: the first of each document, then the second of each, and so on.
func scatter(b *testing.B, js jetstream.JetStream) {
	b.Helper()
	types := []string{event.DocumentSent, event.RecipientSent, event.RecipientOpened, event.RecipientSigned, event.DocumentCompleted}
	store(b, js, 0, eraseEvents*eraseDocuments, func(i int) *signingv1.SigningEvent {
		n, id := i/eraseDocuments, scattered(i%eraseDocuments)
		return &signingv1.SigningEvent{
			Id: fmt.Sprintf("%d-%s", n, id), Type: types[n], Document: &signingv1.Document{Id: id},
			Recipient: &signingv1.Recipient{Id: "r-" + id, Email: id + "@example.com"},
		}
	})
}
