package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// acted is the subject of the event that an operator began an action.
const acted = "signing.v1.signrelay.signrelay.operator.acted._"

// installation is a broker with messages that wait for an operator.
type installation struct {
	*testing.T
	url  string
	conn *nats.Conn
	js   jetstream.JetStream
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	broker := realtest.NATSWith(t, func(o *server.Options) { o.MaxPayload = 8 << 20 })
	w := &installation{T: t, url: broker.URL}
	w.conn, w.js = broker.Connect()
	if err := flow.Provision(t.Context(), w.js, 1); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *installation) publish(subject string, header map[string]string, data string) uint64 {
	w.Helper()
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(data)}
	for name, value := range header {
		m.Header.Set(name, value)
	}
	ack, err := w.js.PublishMsg(w.Context(), m)
	if err != nil {
		w.Fatal(err)
	}
	return ack.Sequence
}

// quarantined stores a quarantined callback, whose body may be readable by this version, and returns its number.
func (w *installation) quarantined(reason, body string) uint64 {
	w.Helper()
	return w.publish("quarantine.v1.demo.clickwrap."+reason, map[string]string{
		ingest.HeaderSource: "demo", ingest.HeaderProvider: "clickwrap", ingest.HeaderMethod: "POST", ingest.HeaderHeader: "{}", ingest.HeaderVerification: "3",
		ingest.HeaderReceivedAt: time.Now().UTC().Format(time.RFC3339Nano), ingest.HeaderReason: reason, ingest.HeaderDetail: "it was unreadable",
	}, body)
}

func sent(request string) string {
	return fmt.Sprintf(`{"event_type":"request_sent","request":%q,"id":%q}`, request, "e-"+request)
}

// buried stores a dead letter like the enricher, with the server's advisory, and returns its number.
func (w *installation) buried(n int) uint64 {
	w.Helper()
	number := w.publish("dlq.v1.enricher", map[string]string{
		"Signrelay-Dlq-Stage": "enricher", "Signrelay-Dlq-Reason": "permanent", "Signrelay-Dlq-Attempts": "1", "Signrelay-Dlq-Id": fmt.Sprint("e", n),
		"Signrelay-Dlq-Stream": "SIGNING", "Signrelay-Dlq-Sequence": strconv.Itoa(n), "Signrelay-Dlq-Subject": fmt.Sprintf("signing.v1.demo.clickwrap.document.sent.d%d", n),
	}, string(encoded(w.T, &signingv1.SigningEvent{Id: fmt.Sprint("e", n), Type: "document.sent", Document: &signingv1.Document{Id: fmt.Sprint("d", n)}})))
	w.publish("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.SIGNING.enricher", nil, fmt.Sprintf(`{"consumer":"enricher","stream":"SIGNING","stream_seq":%d}`, n))
	return number
}

func (w *installation) run(line string) (status int, stdout, stderr string) {
	w.Helper()
	var out bytes.Buffer
	status, stderr = w.runWith(w.Context(), providers.All, &out, line)
	return status, out.String(), stderr
}

func (w *installation) runWith(ctx context.Context, packs []pack.Pack, stdout io.Writer, line string) (status int, stderr string) {
	w.Helper()
	var errs bytes.Buffer
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	args := append(strings.Fields(line), "--nats.url", w.url)
	status = dispatchWith(ctx, packs, args, []string{"SIGNRELAY_DATA_DIR=" + w.TempDir()}, stdin, stdout, &errs)
	return status, errs.String()
}

// subjects returns the subjects of a stream's messages, in order.
func (w *installation) subjects(stream string) (all []string) {
	w.Helper()
	s, err := w.js.Stream(w.Context(), stream)
	if err != nil {
		w.Fatal(err)
	}
	for sequence := max(1, s.CachedInfo().State.FirstSeq); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(w.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, m.Subject)
	}
	return all
}

// reads counts the requests for a stream's messages during run: passes over the stream, single messages by number, and delivered messages.
func (w *installation) reads(stream string, run func()) (passes, single, delivered int) {
	w.Helper()
	wire, err := w.conn.SubscribeSync(">")
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = wire.Unsubscribe() }()
	if err := errors.Join(wire.SetPendingLimits(-1, -1), w.conn.Flush()); err != nil {
		w.Fatal(err)
	}
	run()
	if err := w.conn.Flush(); err != nil {
		w.Fatal(err)
	}
	for {
		m, err := wire.NextMsg(200 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			return passes, single, delivered
		}
		if err != nil {
			w.Fatal(err)
		}
		if strings.HasPrefix(m.Subject, "$JS.API.DIRECT.GET."+stream) || strings.HasPrefix(m.Subject, "$JS.API.STREAM.MSG.GET."+stream) {
			var ask struct{ Batch int }
			if err := json.Unmarshal(m.Data, &ask); err != nil {
				w.Fatal(err)
			}
			if ask.Batch > 0 {
				passes++
			} else {
				single++
			}
		}
		if strings.HasPrefix(m.Subject, "_INBOX.") && m.Header.Get("Nats-Stream") == stream {
			delivered++
		}
	}
}

// A listing and a plan read the stream once, a replay reads each message that it replays by its number, and show reads one message.
func TestAReplayReadsItsStreamOnce(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	for n := range 4 {
		w.quarantined("not-json", sent(fmt.Sprint("r", n)))
		w.buried(n + 1)
	}
	for _, c := range []struct {
		line, stream              string
		passes, single, delivered int
	}{
		{"quarantine list", "QUARANTINE", 1, 0, 4},
		{"quarantine list --reason not-json --source demo --since 1h --json", "QUARANTINE", 1, 0, 4},
		{"quarantine show 3", "QUARANTINE", 0, 1, 1},
		{"quarantine replay 1 --yes", "QUARANTINE", 0, 2, 2},
		{"quarantine replay all --yes --rate 1000", "QUARANTINE", 1, 3, 6},
		{"dlq list", "DLQ", 1, 0, 8}, // each with the server's advisory
		{"dlq show 3", "DLQ", 0, 1, 1},
		{"dlq replay 1 --yes", "DLQ", 1, 1, 9},
		{"dlq replay --all --yes --rate 1000", "DLQ", 1, 3, 9},
	} {
		passes, single, delivered := w.reads(c.stream, func() {
			if status, stdout, stderr := w.run(c.line); status != 0 || stderr != "" {
				t.Errorf("%s: status %d\n%s%s", c.line, status, stdout, stderr)
			}
		})
		if passes != c.passes || single != c.single || delivered != c.delivered {
			t.Errorf("%s: %d passes, %d by number, %d messages; want %d, %d, %d", c.line, passes, single, delivered, c.passes, c.single, c.delivered)
		}
	}
	if left := append(w.subjects("DLQ"), w.subjects("QUARANTINE")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Both commands print the same kind of plan, and without a terminal they require --yes.
func TestBothReplaysPrintTheirPlanAndRequireConfirmation(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.quarantined("not-json", sent("r1"))
	w.quarantined("not-json", sent("r2"))
	w.quarantined("id-missing", sent("r3"))
	w.buried(1)
	w.buried(2)
	for line, want := range map[string]string{
		"quarantine replay --all --rate 5": "To replay: 3 callbacks, each as if its provider sent it now, at most 5 a second.\n" +
			"  demo/clickwrap  1 × id-missing\n  demo/clickwrap  2 × not-json\n" +
			"Events that are not in the log are stored, and messages may be sent for them. Callbacks that still cannot be read stay in quarantine.\n",
		"quarantine replay --reason id-missing": "To replay: 1 callback, each as if its provider sent it now, at most 10 a second.\n" +
			"  demo/clickwrap  1 × id-missing\n" +
			"Events that are not in the log are stored, and messages may be sent for them. Callbacks that still cannot be read stay in quarantine.\n",
		"dlq replay all": "To replay: 2 dead letters, each only to the stage that gave it up, at most 10 a second.\n" +
			"  enricher      2 × document.sent, for the recipients that the provider returns\n" +
			"No message leaves now. 2 events go to the enricher, which asks the provider whether more messages follow.\n",
	} {
		status, stdout, stderr := w.run(line)
		if status != 1 || stdout != want || !strings.HasSuffix(stderr, "nothing was changed. Not a terminal: pass --yes to confirm\n") {
			t.Errorf("%s: status %d\n%s\nwant\n%s\nstderr: %s", line, status, stdout, want, stderr)
		}
	}
	for _, line := range []string{"quarantine replay --source other", "dlq replay --source other", "quarantine replay --reason other", "dlq replay --since 1ns"} {
		if status, stdout, stderr := w.run(line); status != 0 || stdout != "Nothing to replay.\n" || stderr != "" {
			t.Errorf("%s: status %d\n%s%s", line, status, stdout, stderr)
		}
	}
	if n := len(w.subjects("SIGNING")) + len(w.subjects("REPLAY")); n != 0 {
		t.Errorf("it published %d messages", n)
	}
}

// panicking is a pack that panics if the body contains "panic".
type panicking struct{ pack.Webhook }

func (p panicking) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	if bytes.Contains(r.Body, []byte("panic")) {
		panic("the pack has a fault")
	}
	return p.Webhook.Normalize(r, v)
}

func packsWithAFault() []pack.Pack {
	packs := slices.Clone(providers.All)
	for i, p := range packs {
		packs[i].Webhook = func(s config.Source) (pack.Webhook, error) {
			w, err := p.Webhook(s)
			return panicking{w}, err
		}
	}
	return packs
}

// Callbacks that still cannot be read stay in quarantine, and the command prints the reason; the others are replayed.
func TestUnreadableCallbacksStayInQuarantine(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.quarantined("not-json", sent("r1"))
	w.quarantined("pack-panicked", sent("panic"))
	w.quarantined("not-json", strings.Repeat(" ", 1<<20)+sent("large"))
	w.quarantined("not-json", "{")
	w.publish("quarantine.v1.gone.clickwrap.not-json", map[string]string{ingest.HeaderSource: "gone", ingest.HeaderProvider: "clickwrap"}, "{}")
	w.quarantined("not-json", sent("r6"))
	var out bytes.Buffer
	status, stderr := w.runWith(t.Context(), packsWithAFault(), &out, "quarantine replay --all --yes --rate 1000")
	if status != 1 || !strings.HasSuffix(stderr, "2 of 6 replayed; not replayed: number 2, number 3, number 4, number 5\n") {
		t.Errorf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		"number 1 is replayed (1 of 6): stored ",
		"number 2 is not replayed (2 of 6): pack-panicked: the provider's pack has a fault",
		"number 3 is not replayed (3 of 6): too-large: The body is larger than the limit of 1048576 bytes.",
		"number 4 is not replayed (4 of 6): not-json: ",
		"number 5 is not replayed (5 of 6): the settings no longer have the source clickwrap/gone",
		"number 6 is replayed (6 of 6): stored ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if log := w.subjects("SIGNING"); !slices.Equal(log, []string{acted, "signing.v1.demo.clickwrap.document.sent.r1", "signing.v1.demo.clickwrap.document.sent.r6"}) {
		t.Errorf("the log holds %v", log)
	}
	if left := w.subjects("QUARANTINE"); len(left) != 4 {
		t.Errorf("in quarantine: %v", left)
	}

	// Missing numbers are reported, and do not stop the others.
	repaired := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(repaired, []byte(sent("r4")), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := w.run("quarantine replay 4 --yes --body " + repaired); status != 0 || stderr != "" {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := w.run("quarantine replay 2 6 99 --yes"); status != 1 || !strings.Contains(stdout, "number 2 is replayed (1 of 1)") ||
		!strings.HasSuffix(stderr, "not in quarantine: number 6, 99\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	number := w.buried(1)
	if status, stdout, stderr := w.run(fmt.Sprintf("dlq replay %d 998 999 --yes", number)); status != 1 ||
		!strings.Contains(stdout, fmt.Sprintf("number %d is replayed (1 of 1)", number)) || !strings.HasSuffix(stderr, "not in the DLQ: number 998, 999\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

// interrupt is a terminal at which the operator presses Ctrl-C when a text appears.
type interrupt struct {
	bytes.Buffer
	at     string
	cancel context.CancelFunc
}

func (i *interrupt) Write(p []byte) (int, error) {
	n, err := i.Buffer.Write(p)
	if strings.Contains(i.String(), i.at) {
		i.cancel()
	}
	return n, err
}

// An interrupted replay prints its progress. The next replay handles the rest, and no callback twice.
func TestAnInterruptedReplayIsContinued(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	for n := range 3 {
		w.quarantined("not-json", sent(fmt.Sprint("r", n)))
		w.buried(n + 1)
	}
	for _, command := range []string{"quarantine replay --all --yes", "dlq replay --all --yes"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &interrupt{at: "(1 of 3)", cancel: cancel}
		status, stderr := w.runWith(ctx, providers.All, out, command)
		if status != 1 || !strings.HasSuffix(stderr, "interrupted: 1 of 3 replayed, 2 left; run the command again for the rest\n") || strings.Contains(out.String(), "(2 of 3)") {
			t.Errorf("%s: status %d\n%s%s", command, status, out, stderr)
		}
		if status, stdout, stderr := w.run(command); status != 0 || !strings.Contains(stdout, "(2 of 2)") || stderr != "" {
			t.Errorf("%s again: status %d\n%s%s", command, status, stdout, stderr)
		}
		if status, stdout, _ := w.run(command); status != 0 || stdout != "Nothing to replay.\n" {
			t.Errorf("%s a third time: status %d\n%s", command, status, stdout)
		}
	}
	want := map[string][]string{"SIGNING": {
		acted, "signing.v1.demo.clickwrap.document.sent.r0", acted, "signing.v1.demo.clickwrap.document.sent.r1", "signing.v1.demo.clickwrap.document.sent.r2",
		acted, "signing.v1.demo.clickwrap.replay.requested.d1", acted, "signing.v1.demo.clickwrap.replay.requested.d2", "signing.v1.demo.clickwrap.replay.requested.d3",
	}, "REPLAY": {"replay.v1.enricher.SIGNING.1.1", "replay.v1.enricher.SIGNING.2.1", "replay.v1.enricher.SIGNING.3.1"}, "DLQ": nil, "QUARANTINE": nil}
	for stream, subjects := range want {
		if got := w.subjects(stream); !slices.Equal(got, subjects) {
			t.Errorf("%s holds %v", stream, got)
		}
	}
}

// A replay that is killed between its two steps leaves the callback in quarantine and its events in the log. The next replay does not store
// them again.
func TestAKilledReplayStoresNothingTwice(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	for range 2 { // the second run begins as if the first replay had not removed the callback
		w.quarantined("not-json", sent("r1"))
		if status, stdout, stderr := w.run("quarantine replay all --yes"); status != 0 {
			t.Errorf("status %d\n%s%s", status, stdout, stderr)
		}
	}
	if log := w.subjects("SIGNING"); !slices.Equal(log, []string{acted, "signing.v1.demo.clickwrap.document.sent.r1", acted}) {
		t.Errorf("the log holds %v", log)
	}
}

// If the streams refuse the events of one callback, they would refuse the next ones too. So the replay ends and prints its progress.
func TestAnOutageEndsAReplay(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.quarantined("not-json", sent("r1"))
	w.quarantined("not-json", sent("r2"))
	w.quarantined("not-json", sent("r3"))
	s, err := w.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	settings := s.CachedInfo().Config
	settings.MaxMsgs, settings.Discard = 2, jetstream.DiscardNew // the operator's action, and the event of one callback
	if _, err := w.js.UpdateStream(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := w.run("quarantine replay --all --yes --rate 1000")
	if status != 1 || !strings.Contains(stdout, "number 1 is replayed (1 of 3)") || strings.Contains(stdout, "of 3): number 2") ||
		!strings.Contains(stderr, "number 2 stays in quarantine: the streams did not accept its events: log-away") ||
		!strings.HasSuffix(stderr, "; 1 of 3 replayed, 2 left: run the command again for the rest\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}
