package bench

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	handovers = 300 // one callback at a time, so that all stages are idle before each
	warmUps   = 20
)

// BenchmarkHandover measures the time from a callback's status 202 to the request to Vonage, with idle stages: enricher (with its call of
// the provider's API), shortener, SMS sender, each message on disk before its ack. Both times are from one clock.
func BenchmarkHandover(b *testing.B) {
	for name, start := range map[string]func(testing.TB) *testenv.Env{
		"run":   func(t testing.TB) *testenv.Env { return testenv.Standalone(t) },
		"apart": testenv.Separate,
	} {
		b.Run(name, func(b *testing.B) {
			h := start(b)
			for b.Loop() {
				accepted := make([]time.Time, handovers)
				for i := range handovers {
					accepted[i] = invite(b, h, i)
				}
				var took []time.Duration
				for i, m := range texts(b, h) {
					took = append(took, m.ReceivedAt.Sub(accepted[i]))
				}
				took = took[warmUps:]
				slices.Sort(took)
				p50, p99 := milliseconds(took[len(took)/2]), milliseconds(took[len(took)*99/100])
				figure(b, "handover-"+name+"-p50", p50)
				figure(b, "handover-"+name+"-p99", p99)
				b.ReportMetric(p50, "ms-p50")
				b.ReportMetric(p99, "ms-p99")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// invite reports another sending of the documentation's request, waits for the signer's text, and returns the time when the callback was
// accepted.
func invite(b *testing.B, h *testenv.Env, i int) time.Time {
	b.Helper()
	body := fmt.Sprintf(`{"event_type":"request_sent","request":"596f858584281715b3493d0c","activity":"a%d","id":"e%d"}`, i, i)
	status, response := h.Callback(b, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
		"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
	}, []byte(body))
	accepted := time.Now()
	if status != http.StatusAccepted {
		b.Fatalf("%d %v", status, response)
	}
	h.Until(b, "the text has arrived", func() bool { return len(texts(b, h)) > i })
	h.WaitIdle(b) // the e-mail, too
	return accepted
}

func texts(b *testing.B, h *testenv.Env) []testenv.Message {
	b.Helper()
	var found []testenv.Message
	for _, m := range h.Messages(b) {
		if m.Channel == "sms" {
			found = append(found, m)
		}
	}
	return found
}
