package bench

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	// pending is how many documents wait for a stage: 16 at once at 200 ms each are 80 a second, so one replica takes 20 s.
	pending = 1600
	// answersAfter is how long the provider and Vonage take: a call across the world. Less, and two cores would be the bound.
	answersAfter = 200 * time.Millisecond
)

// BenchmarkReplicas measures how many inputs a second pass a stage that waits for the other side, with 1, 2 and 4 replicas,
// each a process: the enricher for the provider's REST API, the SMS sender for Vonage. Each document must be asked for and each
// text handed over exactly once.
func BenchmarkReplicas(b *testing.B) {
	for b.Loop() {
		one := map[string]float64{}
		for _, replicas := range []int{1, 2, 4} {
			for stage, rate := range pass(b, replicas) {
				if replicas == 1 {
					one[stage] = rate
				}
				b.Logf("%-10s %d replicas: %4.0f/s, %.2f of one", stage, replicas, rate, rate/one[stage])
				b.ReportMetric(rate/one[stage], fmt.Sprintf("%s-%d-of-one", stage, replicas))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// pass lets the documents pass the enricher and then the SMS sender, each with so many replicas, and returns each stage's rate a
// second. All replicas are ready before the work comes.
func pass(b *testing.B, replicas int) map[string]float64 {
	b.Helper()
	far := testenv.NewSlowUpstream(b, answersAfter)
	h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, far, h.Address("SIGNRELAY_SMTP_ADDR")) })
	h.Timeout = 2 * time.Minute
	h.StartService(b, "ingest", "ingest")
	for _, stage := range []string{"enricher", "sms-sender"} {
		h.StartService(b, stage, stage)
		for n := 2; n <= replicas; n++ {
			h.StartReplica(b, stage, n)
		}
	}
	announce(b, h)
	h.Until(b, "each document was asked for", func() bool { return len(far.Asked.Times()) >= pending })

	// The texts wait for their links, so that they reach the SMS sender faster than it can send.
	h.StartService(b, "shortener", "shortener")
	h.Until(b, "each text was handed over", func() bool { return len(far.Sent.Times()) >= pending })
	h.StartService(b, "email-sender", "email-sender") // of which there is nothing to send; Idle waits for it
	h.Idle(b)
	for what, seen := range map[string]*testenv.Register{"asked for": &far.Asked, "sent": &far.Sent} {
		if doubled := seen.Doubled(); doubled > 0 {
			b.Errorf("%d replicas: %s more than once: %d documents", replicas, what, doubled)
		}
		if n := len(seen.Times()); n != pending {
			b.Errorf("%d replicas: %s: %d of %d documents", replicas, what, n, pending)
		}
	}
	return map[string]float64{"enricher": steady(far.Asked.Times()), "sms-sender": steady(far.Sent.Times())}
}

// announce tells ingest of all documents, as fast as it takes them.
func announce(b *testing.B, h *testenv.Env) {
	b.Helper()
	documents := make(chan int)
	var callers sync.WaitGroup
	for range connections {
		callers.Go(func() {
			for i := range documents {
				body := fmt.Sprintf(`{"event_type":"request_sent","request":"d-%05d","activity":"a%d","id":"e%d"}`, i, i, i)
				status, answer := h.Callback(b, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
					"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
				}, []byte(body))
				if status != http.StatusAccepted {
					b.Errorf("%d %v", status, answer)
				}
			}
		})
	}
	for i := range pending {
		documents <- i
	}
	close(documents)
	callers.Wait()
}

// steady is the rate a second between the first tenth and the last, when all replicas have work.
func steady(at []time.Time) float64 {
	at = at[len(at)/10 : len(at)*9/10]
	return float64(len(at)-1) / at[len(at)-1].Sub(at[0]).Seconds()
}

// settings have rates that are no bound.
func settings(h *testenv.Env, far *testenv.SlowUpstream, mail string) string {
	host, port, _ := strings.Cut(mail, ":")
	return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t, per_minute: 600000}}
sms: {vonage: {api_key: bench000, api_secret: s, from: Signrelay, base_url: %[1]q, per_second: 10000}}
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "http://%[4]s"}
limits: {person_per_day: 0, number_per_hour: 0, document: 0, source_per_day: 0}
`, far.URL, host, port, h.Address("SIGNRELAY_LINKS_ADDR"))
}
