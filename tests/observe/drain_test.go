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

// Told to end while it has work in hand, each service says so to its probes, finishes that work, and ends with status 0
// within 30 s. Under load, and with replicas, tests/faults shows the same of every service.
func TestAnOrderlyEndFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	h := testenv.Apart(t)
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	h.StartService(t, "kafka-bridge", "kafka-bridge", "SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0])

	// One after the other: each has the house to itself.
	for _, tt := range []struct{ service, fault string }{
		{flow.Enricher, `{"target":"clickwrap","mode":"slow","delay_ms":4000}`},
		{flow.SMSSender, `{"target":"vonage","mode":"slow","delay_ms":4000}`},
		{flow.EmailSender, `{"target":"smtp","mode":"slow","delay_ms":4000}`},
	} {
		h.Fault(t, tt.fault)
		h.Play(t, "clickwrap", "one-signer")
		h.Until(t, tt.service+" has work in hand", func() bool { return unanswered(t, h, tt.service) > 0 && faults(t, h) == "[]" })
		ends(t, h, tt.service, func() {})
		if n := unanswered(t, h, tt.service); n != 0 {
			t.Errorf("%s left %d behind", tt.service, n)
		}
		h.Processes[tt.service].Start()
		h.Idle(t)
	}

	t.Log("ingest has half of a callback")
	body := `{"event_type":"test_event","id":"drained","data":"` + strings.Repeat("x", 1000) + `"}`
	caller, err := net.Dial("tcp", strings.TrimPrefix(h.IngestURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caller.Close() }()
	_, _ = fmt.Fprintf(caller, "POST /webhooks/clickwrap/demo HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/json\r\n"+
		"Pactsafe-Webhook-Token: 12345\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	answers := bufio.NewReader(caller)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // its handler reads
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = answers.ReadString('\n')
	_, _ = io.WriteString(caller, body[:500])
	ends(t, h, "ingest", func() {
		_, _ = io.WriteString(caller, body[500:])
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != http.StatusAccepted {
			t.Errorf("the callback in hand was answered %d", answer.StatusCode)
		}
	})
	h.Processes["ingest"].Start()

	t.Log("shortener asks the provider where a link leads")
	h.Play(t, "pleasesign", "one-signer")
	h.Idle(t)
	var link string
	for _, m := range h.Messages(t) {
		if strings.Contains(m.Text, "PleaseSign") {
			link = regexp.MustCompile(`http://\S+/l/\S+`).FindString(m.Text)
		}
	}
	h.Fault(t, `{"target":"pleasesign","mode":"slow","delay_ms":3000}`)
	opened := make(chan int, 1)
	go func() {
		status, _ := request(t, http.MethodPost, link)
		opened <- status
	}()
	h.Until(t, "the provider is asked", func() bool { return faults(t, h) == "[]" })
	ends(t, h, flow.Shortener, func() {
		if status := <-opened; status == 0 || status >= 500 {
			t.Errorf("the link in hand was answered %d", status)
		}
	})
	h.Processes[flow.Shortener].Start()
	h.Idle(t)

	t.Log("kafka-bridge has a window that Kafka has not acknowledged")
	asked, release := make(chan struct{}, 1), make(chan struct{})
	kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		<-release
		return nil, nil, false
	})
	h.Play(t, "clickwrap", "one-signer")
	<-asked
	ends(t, h, flow.KafkaBridge, func() { close(release) })
	if n := unanswered(t, h, flow.KafkaBridge); n != 0 {
		t.Errorf("kafka-bridge left %d behind", n)
	}

	// Nothing came twice, and nobody had to wonder whether it had.
	h.Idle(t)
	seen := map[string]bool{}
	for _, m := range h.Messages(t) {
		if m.Reference != "" && seen[m.Channel+m.Reference] {
			t.Errorf("%s %s came twice", m.Channel, m.Reference)
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

// ends tells a service to end, waits until its probes hear of it, lets its work come to an end, and waits for its own.
func ends(t *testing.T, h *testenv.Env, service string, finish func()) {
	t.Helper()
	p := probed{Env: h, Process: h.Processes[service]}
	began := time.Now()
	ended := make(chan int, 1)
	go func() { ended <- p.Stop() }()
	h.Until(t, service+" says that it is draining", func() bool {
		status, h := p.probe(t)
		return status == http.StatusServiceUnavailable && h.Status == "draining"
	})
	finish()
	if status := <-ended; status != 0 {
		t.Errorf("%s: exit status %d", service, status)
	}
	t.Logf("%s has ended after %v", service, time.Since(began).Round(10*time.Millisecond))
}

// unanswered is how much a stage has in hand.
func unanswered(t *testing.T, h *testenv.Env, name string) int {
	t.Helper()
	c, err := h.JetStream(t).Consumer(context.Background(), flow.StageNamed(name).Stream, name)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().NumAckPending
}

// faults are those that have not come about yet, as JSON.
func faults(t *testing.T, h *testenv.Env) string {
	t.Helper()
	_, body := get(t, h.SandboxURL+"/api/faults")
	return strings.TrimSpace(string(body))
}
