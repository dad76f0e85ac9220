package restore

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// TestRestore has a case for each loss and each mistake, with its effect. One document's messages are sent before the backup, a second
// document's text is in flight during the backup, and a third document's text is sent after it. Then parts are lost and restored, and the
// provider calls again about all three.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name        string
		nats, redis bool // lost, and restored from the backup
		steps       []func(*testing.T, *testenv.Env)
		again       [3]string // the responses to the second callbacks
		texts       [3]int    // the number of texts about each document in the end
		stored      [3]int    // the number of events of each document in the log
		marked      [3]bool   // whether the log marks the text as a possible duplicate
	}{
		{
			name: "NATS and Redis are lost", nats: true, redis: true,
			steps: []func(*testing.T, *testenv.Env){forgetCallbacks, forgetTheEpoch},
			again: [3]string{"duplicate", "duplicate", "accepted"},
			// The restored parts do not know that the second and the third document's texts were sent.
			texts: [3]int{1, 2, 2}, stored: [3]int{1, 1, 1}, marked: [3]bool{false, true, true},
		},
		{
			name: "NATS is lost", nats: true,
			steps: []func(*testing.T, *testenv.Env){forgetCallbacks, forgetTheEpoch},
			again: [3]string{"duplicate", "duplicate", "accepted"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "NATS is lost, and Redis stays unchanged", nats: true, // a mistake that ingest corrects when the third callback is repeated
			again: [3]string{"duplicate", "duplicate", "accepted"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "NATS is lost, and the epoch is kept", nats: true, // a mistake: ingest looks up only callbacks of another day in the log
			steps: []func(*testing.T, *testenv.Env){forgetCallbacks},
			again: [3]string{"duplicate", "duplicate", "accepted"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "Redis is lost", redis: true,
			steps: []func(*testing.T, *testenv.Env){forgetTheEpoch},
			again: [3]string{"duplicate", "duplicate", "duplicate"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "Redis is lost, and its epoch is kept", redis: true, // a mistake: Redis then counts as complete for the callbacks of today
			again: [3]string{"duplicate", "duplicate", "duplicate"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			upstream := testenv.NewSlowUpstream(t, 0)
			h := testenv.Infrastructure(t, around(upstream))
			b := newBackup(t, h)
			for _, service := range services {
				h.StartService(t, service, service)
			}
			documents := [3]string{"d-1", "d-2", "d-3"}

			call(t, h, documents[0], "accepted")
			h.Until(t, "the first text is sent", func() bool { return upstream.Sent.Of(documents[0]) == 1 })
			h.WaitIdle(t)
			h.Processes["sms-sender"].Stop()
			call(t, h, documents[1], "accepted")
			h.Until(t, "the second's text waits", func() bool { return waiting(t, h) == 1 })
			b.take(t, h)
			h.Processes["sms-sender"].Start()
			call(t, h, documents[2], "accepted")
			h.Until(t, "all texts are sent", func() bool { return upstream.Sent.Of(documents[1]) == 1 && upstream.Sent.Of(documents[2]) == 1 })
			h.WaitIdle(t)

			for _, service := range services {
				h.Processes[service].Stop()
			}
			if row.nats {
				b.restoreNATS(t, h)
			}
			if row.redis {
				b.restoreRedis(t, h)
			}
			for _, step := range row.steps {
				step(t, h)
			}
			if out, err := h.Command(t, "provision"); err != nil {
				t.Fatalf("provision: %v\n%s", err, out)
			}
			if out, err := h.Command(t, "doctor"); !strings.Contains(out, "ok    streams") { // some outside parties do not exist
				t.Errorf("the doctor reports a failure: %v\n%s", err, out)
			}
			letTimePass(t, h)
			for _, service := range services {
				h.Processes[service].Start()
			}
			h.WaitIdle(t)

			for i, document := range documents {
				call(t, h, document, row.again[i])
			}
			call(t, h, "d-4", "accepted") // and everything works again
			h.Until(t, "a new document's text is sent", func() bool { return upstream.Sent.Of("d-4") == 1 })
			h.WaitIdle(t)
			for i, document := range documents {
				if n := upstream.Sent.Of(document); n != row.texts[i] {
					t.Errorf("document %d: %d texts, want %d", i+1, n, row.texts[i])
				}
				if n := stored(t, h, document); n != row.stored[i] {
					t.Errorf("document %d: %d times in the log, want %d", i+1, n, row.stored[i])
				}
				if marked := marked(t, h, document); marked != row.marked[i] {
					t.Errorf("document %d: marked as a possible duplicate: %v, want %v", i+1, marked, row.marked[i])
				}
			}
		})
	}
}

// around returns the settings of an environment with these servers as outside parties.
func around(upstream *testenv.SlowUpstream) func(*testenv.Env) string {
	return func(h *testenv.Env) string {
		host, port, _ := strings.Cut(h.Address("SIGNRELAY_SMTP_ADDR"), ":")
		return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t}, quiet_hours: {from: "00:00", to: "00:00"}}
sms: {vonage: {api_key: restore0, api_secret: s, from: "13175550100", base_url: %[1]q}}
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "http://%[4]s"}
limits: {person_per_day: 0, number_per_hour: 0, texts_per_day: 0, document: 0, source_per_day: 0}
`, upstream.URL, host, port, h.Address("SIGNRELAY_LINKS_ADDR"))
	}
}

var services = testenv.Services[1:] // without the sandbox

// call sends the provider's callback about the document. The callback is the same each time.
func call(t *testing.T, h *testenv.Env, document, want string) {
	t.Helper()
	callAbout(t, h, document, "a-"+document, want)
}

// callAbout sends a callback about one of several sendings of a document.
func callAbout(t *testing.T, h *testenv.Env, document, activity, want string) {
	t.Helper()
	body := fmt.Sprintf(`{"event_type":"request_sent","request":%[1]q,"activity":%[2]q,"id":"e-%[2]s"}`, document, activity)
	status, response := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
		"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
	}, []byte(body))
	if response["status"] != want {
		t.Errorf("%s: the response is %d %v, want %s", document, status, response, want)
	}
}

// waiting returns the number of texts that wait for the SMS sender.
func waiting(t *testing.T, h *testenv.Env) int {
	t.Helper()
	consumer, err := h.JetStream(t).Consumer(t.Context(), flow.Notify, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending
}

// stored returns how often the log has the document as sent.
func stored(t *testing.T, h *testenv.Env, document string) int {
	t.Helper()
	return h.Count(t, flow.Signing, "signing.v1.*.*.document.sent."+document)
}

// marked reports whether a text about the document is marked as a possible duplicate.
func marked(t *testing.T, h *testenv.Env, document string) bool {
	t.Helper()
	for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), "signing.v1.*.*.notification.sent."+document, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		sent, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if sent.GetNotice().GetPossibleDuplicate() {
			return true
		}
	}
	return false
}

// letTimePass makes the streams forget the ids of the last two minutes, whose repetition they refuse, because a provider calls again after an hour.
func letTimePass(t *testing.T, h *testenv.Env) {
	t.Helper()
	for _, name := range []string{flow.Signing, flow.Notify} {
		h.ShortDuplicateWindow(t, name)
	}
	h.RestartNATS(t, "") // at its start, a server reads the ids within the window from its streams
}

// The user of the command line may make and restore backups on a server with an account for each party.
func TestOperatorMayBackUpAndRestore(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, around(testenv.NewSlowUpstream(t, 0)))
	b := newBackup(t, h)
	h.StartService(t, "ingest", "ingest", testenv.NATSUser("ingest")...)
	call(t, h, "d-1", "accepted")
	b.user = "operator"
	b.take(t, h)
	h.Processes["ingest"].Stop()
	b.restoreNATS(t, h)
	if n := stored(t, h, "d-1"); n != 1 {
		t.Errorf("%d times in the log, want once", n)
	}
}

// Standalone has all its data in one folder: a copy made while it is stopped is consistent.
func TestStandaloneBackup(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	const sandboxed = "596f858584281715b3493d0c" // the sandbox knows it
	callAbout(t, h, sandboxed, "a-1", "accepted")
	h.WaitIdle(t)

	p, copied := h.Processes["signrelay"], filepath.Join(t.TempDir(), "data")
	p.Stop()
	run(t, "cp", "-a", h.DataDir, copied)
	p.Start()
	callAbout(t, h, sandboxed, "a-2", "accepted")
	p.Kill()
	if err := os.RemoveAll(h.DataDir); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", "-a", copied, h.DataDir)
	p.Start()
	callAbout(t, h, sandboxed, "a-1", "duplicate")
	callAbout(t, h, sandboxed, "a-2", "accepted") // accepted again after the backup
}
