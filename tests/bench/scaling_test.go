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
	// pending is the number of documents that wait for a stage: 16 at once at 200 ms each are 80 per second, so one replica needs 20 s.
	pending = 1600
	// responseTime is the response time of the provider and Vonage: a call to another continent. With less, two cores would be the limit.
	responseTime = 200 * time.Millisecond
)

// BenchmarkReplicas measures inputs per second of a stage that waits for another party, with 1, 2 and 4 replicas, each a process: the
// enricher for the provider's REST API, the SMS sender for Vonage. Each document must be requested, and each text sent, exactly once.
func BenchmarkReplicas(b *testing.B) {
	for b.Loop() {
		one := map[string]float64{}
		for _, replicas := range []int{1, 2, 4} {
			for stage, rate := range pass(b, replicas) {
				if replicas == 1 {
					one[stage] = rate
				} else {
					figure(b, fmt.Sprintf("%s-%d", stage, replicas), rate/one[stage])
				}
				b.Logf("%-10s %d replicas: %4.0f/s, %.2f of one replica", stage, replicas, rate, rate/one[stage])
				b.ReportMetric(rate/one[stage], fmt.Sprintf("%s-%d-of-one", stage, replicas))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// pass sends the documents through the enricher and then the SMS sender, each with this number of replicas, and returns each stage's rate
// per second. All replicas are ready before the work starts.
func pass(b *testing.B, replicas int) map[string]float64 {
	b.Helper()
	upstream := testenv.NewSlowUpstream(b, responseTime)
	h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, h.Address("SIGNRELAY_SMTP_ADDR")) })
	h.Timeout = 2 * time.Minute
	h.StartService(b, "ingest", "ingest")
	for _, stage := range []string{"enricher", "sms-sender"} {
		h.StartService(b, stage, stage)
		for n := 2; n <= replicas; n++ {
			h.StartReplica(b, stage, n)
		}
	}
	announce(b, h)
	h.Until(b, "each document was requested", func() bool { return len(upstream.Requested.Times()) >= pending })

	// The texts wait for their links, so they reach the SMS sender faster than it can send.
	h.StartService(b, "shortener", "shortener")
	h.Until(b, "each text was sent", func() bool { return len(upstream.Sent.Times()) >= pending })
	for _, stage := range []string{"email-sender", "reminder"} { // WaitIdle waits for them; there is nothing to send
		h.StartService(b, stage, stage)
	}
	h.WaitIdle(b)
	for what, seen := range map[string]*testenv.Register{"requested": &upstream.Requested, "sent": &upstream.Sent} {
		if doubled := seen.Doubled(); doubled > 0 {
			b.Errorf("%d replicas: %s more than once: %d documents", replicas, what, doubled)
		}
		if n := len(seen.Times()); n != pending {
			b.Errorf("%d replicas: %s: %d of %d documents", replicas, what, n, pending)
		}
	}
	return map[string]float64{"enricher": steady(upstream.Requested.Times()), "sms-sender": steady(upstream.Sent.Times())}
}

// announce reports all documents to ingest, as fast as it accepts them.
func announce(b *testing.B, h *testenv.Env) {
	b.Helper()
	documents := make(chan int)
	var callers sync.WaitGroup
	for range connections {
		callers.Go(func() {
			for i := range documents {
				body := fmt.Sprintf(`{"event_type":"request_sent","request":"d-%05d","activity":"a%d","id":"e%d"}`, i, i, i)
				status, response := h.Callback(b, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
					"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
				}, []byte(body))
				if status != http.StatusAccepted {
					b.Errorf("%d %v", status, response)
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

// steady is the rate per second between the first and the last tenth, when all replicas have work.
func steady(at []time.Time) float64 {
	at = at[len(at)/10 : len(at)*9/10]
	return float64(len(at)-1) / at[len(at)-1].Sub(at[0]).Seconds()
}

// settings set no limiting rates.
func settings(h *testenv.Env, upstream *testenv.SlowUpstream, mail string) string {
	host, port, _ := strings.Cut(mail, ":")
	return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: bench-api-token, per_minute: 600000}, quiet_hours: {from: "00:00", to: "00:00"}}
sms: {vonage: {api_key: bench000, api_secret: s, from: "13175550100", base_url: %[1]q, per_second: 10000}}
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "http://%[4]s"}
limits: {person_per_day: 0, number_per_hour: 0, texts_per_day: 0, document: 0, source_per_day: 0}
`, upstream.URL, host, port, h.Address("SIGNRELAY_LINKS_ADDR"))
}
