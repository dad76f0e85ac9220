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

// What each loss and each mistake brings about. In all of them a document is told of before the backup, a second is on its way
// to the phone while the backup is taken, and of a third is told after it; then parts are lost and restored, and the
// provider calls again with all three.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name        string
		nats, redis bool // lost, and restored from the backup
		steps       []func(*testing.T, *testenv.Env)
		again       [3]string // what the second call of each is answered
		texts       [3]int    // how often each phone rang in the end
		stored      [3]int    // how often each is in the log
		marked      [3]bool   // whether the log says of its text that it may be a second one
	}{
		{
			name: "NATS and Redis are lost", nats: true, redis: true,
			steps: []func(*testing.T, *testenv.Env){forgetCallbacks, forgetTheEpoch},
			again: [3]string{"duplicate", "duplicate", "accepted"},
			// Nobody knows any more that the second and the third were texted.
			texts: [3]int{1, 2, 2}, stored: [3]int{1, 1, 1}, marked: [3]bool{false, true, true},
		},
		{
			name: "NATS is lost", nats: true,
			steps: []func(*testing.T, *testenv.Env){forgetCallbacks, forgetTheEpoch},
			again: [3]string{"duplicate", "duplicate", "accepted"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "NATS is lost, and Redis is left as it is", nats: true, // a mistake that ingest makes good when the third comes again
			again: [3]string{"duplicate", "duplicate", "accepted"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
		{
			name: "NATS is lost, and the epoch is kept", nats: true, // a mistake: only of a callback of another day the log is asked
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
			name: "Redis is lost, and its epoch is kept", redis: true, // a mistake: it believes that it knows all of today
			again: [3]string{"duplicate", "duplicate", "duplicate"},
			texts: [3]int{1, 1, 1}, stored: [3]int{1, 1, 1},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			far := testenv.NewSlowUpstream(t, 0)
			h := testenv.Parts(t, around(far))
			b := newBackup(t, h)
			for _, service := range services {
				h.StartService(t, service, service)
			}
			documents := [3]string{"d-1", "d-2", "d-3"}

			call(t, h, documents[0], "accepted")
			h.Until(t, "the first is told", func() bool { return far.Sent.Of(documents[0]) == 1 })
			h.Idle(t)
			h.Processes["sms-sender"].Stop()
			call(t, h, documents[1], "accepted")
			h.Until(t, "the second's text waits", func() bool { return waiting(t, h) == 1 })
			b.take(t, h)
			h.Processes["sms-sender"].Start()
			call(t, h, documents[2], "accepted")
			h.Until(t, "all are told", func() bool { return far.Sent.Of(documents[1]) == 1 && far.Sent.Of(documents[2]) == 1 })
			h.Idle(t)

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
			if out, err := h.Command(t, "doctor"); !strings.Contains(out, "ok    streams") { // of the world outside there is only some
				t.Errorf("the doctor is not content: %v\n%s", err, out)
			}
			letTimePass(t, h)
			for _, service := range services {
				h.Processes[service].Start()
			}
			h.Idle(t)

			for i, document := range documents {
				call(t, h, document, row.again[i])
			}
			call(t, h, "d-4", "accepted") // and it goes on
			h.Until(t, "a new one is told", func() bool { return far.Sent.Of("d-4") == 1 })
			h.Idle(t)
			for i, document := range documents {
				if n := far.Sent.Of(document); n != row.texts[i] {
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

// around are the settings of a house whose world is far.
func around(far *testenv.SlowUpstream) func(*testenv.Env) string {
	return func(h *testenv.Env) string {
		host, port, _ := strings.Cut(h.Address("SIGNRELAY_SMTP_ADDR"), ":")
		return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t}}
sms: {vonage: {api_key: restore0, api_secret: s, from: Signrelay, base_url: %[1]q}}
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "http://%[4]s"}
limits: {person_per_day: 0, number_per_hour: 0, document: 0, source_per_day: 0}
`, far.URL, host, port, h.Address("SIGNRELAY_LINKS_ADDR"))
	}
}

var services = []string{"ingest", "enricher", "shortener", "sms-sender", "email-sender"}

// call is the provider's callback about the document, the same each time.
func call(t *testing.T, h *testenv.Env, document, want string) {
	t.Helper()
	callAbout(t, h, document, "a-"+document, want)
}

// callAbout is call for a document that is sent several times on purpose.
func callAbout(t *testing.T, h *testenv.Env, document, activity, want string) {
	t.Helper()
	body := fmt.Sprintf(`{"event_type":"request_sent","request":%[1]q,"activity":%[2]q,"id":"e-%[2]s"}`, document, activity)
	status, answer := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
		"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
	}, []byte(body))
	if answer["status"] != want {
		t.Errorf("%s: answered %d %v, want %s", document, status, answer, want)
	}
}

// waiting is how many texts wait for the SMS sender.
func waiting(t *testing.T, h *testenv.Env) int {
	t.Helper()
	consumer, err := h.JetStream(t).Consumer(t.Context(), flow.Notify, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending
}

// stored is how often the log has it that the document was sent.
func stored(t *testing.T, h *testenv.Env, document string) int {
	t.Helper()
	return h.Count(t, flow.Signing, "signing.v1.*.*.document.sent."+document)
}

// marked tells whether a text about the document was sent that may be a second one.
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

// letTimePass has the streams forget the ids of which they refuse a second message for two minutes: a provider calls again after
// an hour.
func letTimePass(t *testing.T, h *testenv.Env) {
	t.Helper()
	for _, name := range []string{flow.Signing, flow.Notify} {
		h.ShortDuplicateWindow(t, name)
	}
	h.RestartNATS(t, "") // a server learns from its streams what is within the window
}

// The user of the command line may take backups and restore them, on a server with an account for each party.
func TestTheOperatorMay(t *testing.T) {
	t.Parallel()
	h := testenv.Guarded(t, around(testenv.NewSlowUpstream(t, 0)))
	b := newBackup(t, h)
	h.StartService(t, "ingest", "ingest", testenv.As("ingest")...)
	call(t, h, "d-1", "accepted")
	b.user = "operator"
	b.take(t, h)
	h.Processes["ingest"].Stop()
	b.restoreNATS(t, h)
	if n := stored(t, h, "d-1"); n != 1 {
		t.Errorf("%d times in the log, want once", n)
	}
}

// Everything in one process keeps all it knows in one folder: a copy of it, taken while it is stopped, is consistent.
func TestStandalone(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	const sandboxed = "596f858584281715b3493d0c" // which the sandbox knows
	callAbout(t, h, sandboxed, "a-1", "accepted")
	h.Idle(t)

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
	callAbout(t, h, sandboxed, "a-2", "accepted") // what came after the backup is let in again
}
