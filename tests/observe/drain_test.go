package observe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A service that gets SIGTERM during its work reports it in its probes, finishes the work, and ends with status 0 within 30 s. tests/faults
// proves the same under load, with replicas.
func TestShutdownFinishesWorkInFlight(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	h.StartService(t, "kafka-bridge", "kafka-bridge", "SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0])

	// The cases run one after the other, because each needs the environment for itself.
	for _, tt := range []struct{ service, fault string }{
		{flow.Enricher, `{"target":"clickwrap","mode":"slow","delay_ms":4000}`},
		{flow.SMSSender, `{"target":"vonage","mode":"slow","delay_ms":4000}`},
		{flow.EmailSender, `{"target":"smtp","mode":"slow","delay_ms":4000}`},
	} {
		h.InjectFault(t, tt.fault)
		h.Play(t, "clickwrap", "one-signer")
		h.Until(t, tt.service+" has work in flight", func() bool { return unacked(t, h, tt.service) > 0 && faults(t, h) == "[]" })
		ends(t, h, tt.service, func() {})
		if n := unacked(t, h, tt.service); n != 0 {
			t.Errorf("%s left %d unfinished", tt.service, n)
		}
		h.Processes[tt.service].Start()
		h.WaitIdle(t)
	}

	t.Log("ingest has read half of a callback")
	body := `{"event_type":"test_event","id":"drained","data":"` + strings.Repeat("x", 1000) + `"}`
	caller, err := net.Dial("tcp", strings.TrimPrefix(h.IngestURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caller.Close() }()
	_, _ = fmt.Fprintf(caller, "POST /webhooks/clickwrap/demo HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/json\r\n"+
		"Pactsafe-Webhook-Token: 12345\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	responses := bufio.NewReader(caller)
	if line, err := responses.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // its handler reads
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = responses.ReadString('\n')
	_, _ = io.WriteString(caller, body[:500])
	ends(t, h, "ingest", func() {
		_, _ = io.WriteString(caller, body[500:])
		response, err := http.ReadResponse(responses, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != http.StatusAccepted {
			t.Errorf("the callback in flight got status %d", response.StatusCode)
		}
	})
	h.Processes["ingest"].Start()

	t.Log("shortener requests a link's address from the provider")
	h.Play(t, "pleasesign", "one-signer")
	h.WaitIdle(t)
	var link string
	for _, m := range h.Messages(t) {
		if strings.Contains(m.Text, "PleaseSign") {
			link = regexp.MustCompile(`http://\S+/l/\S+`).FindString(m.Text)
		}
	}
	h.InjectFault(t, `{"target":"pleasesign","mode":"slow","delay_ms":3000}`)
	opened := make(chan int, 1)
	go func() {
		status, _ := request(t, http.MethodPost, link)
		opened <- status
	}()
	h.Until(t, "the provider has the request", func() bool { return faults(t, h) == "[]" })
	ends(t, h, flow.Shortener, func() {
		if status := <-opened; status == 0 || status >= 500 {
			t.Errorf("the link in flight got status %d", status)
		}
	})
	h.Processes[flow.Shortener].Start()
	h.WaitIdle(t)

	t.Log("kafka-bridge has a window that Kafka has not acknowledged")
	requested, release := make(chan struct{}, 1), make(chan struct{})
	kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		requested <- struct{}{}
		<-release
		return nil, nil, false
	})
	h.Play(t, "clickwrap", "one-signer")
	<-requested
	ends(t, h, flow.KafkaBridge, func() { close(release) })
	if n := unacked(t, h, flow.KafkaBridge); n != 0 {
		t.Errorf("kafka-bridge left %d unfinished", n)
	}

	// Nothing was sent twice, and no outcome is unknown.
	h.WaitIdle(t)
	seen := map[string]bool{}
	for _, m := range h.Messages(t) {
		if m.Reference != "" && seen[m.Channel+m.Reference] {
			t.Errorf("%s %s was sent twice", m.Channel, m.Reference)
		}
		seen[m.Channel+m.Reference] = true
	}
	log, sent := event.Log{JS: h.JetStream(t), Stream: flow.Signing}, 0
	for m, err := range log.Messages(t.Context(), "signing.v1.*.*.notification.sent.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if sent++; err != nil || e.GetNotice().GetPossibleDuplicate() {
			t.Errorf("%v, %v", e, err)
		}
	}
	if sent == 0 {
		t.Error("nothing was sent")
	}
}

// ends sends SIGTERM to a service, waits until its probes report it, lets its work finish, and waits for its end.
func ends(t *testing.T, h *testenv.Env, service string, finish func()) {
	t.Helper()
	p := probed{Env: h, Process: h.Processes[service]}
	began := time.Now()
	ended := make(chan int, 1)
	go func() { ended <- p.Stop() }()
	h.Until(t, service+" reports that it is draining", func() bool {
		status, h := p.probe(t)
		return status == http.StatusServiceUnavailable && h.Status == "draining"
	})
	finish()
	if status := <-ended; status != 0 {
		t.Errorf("%s: exit status %d", service, status)
	}
	t.Logf("%s has ended after %v", service, time.Since(began).Round(10*time.Millisecond))
}

// unacked returns the number of a stage's messages in flight.
func unacked(t *testing.T, h *testenv.Env, name string) int {
	t.Helper()
	c, err := h.JetStream(t).Consumer(context.Background(), flow.StageNamed(name).Stream, name)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().NumAckPending
}

// faults returns the faults that have not occurred yet, as JSON.
func faults(t *testing.T, h *testenv.Env) string {
	t.Helper()
	_, body := get(t, h.SandboxURL+"/api/faults")
	return strings.TrimSpace(string(body))
}
