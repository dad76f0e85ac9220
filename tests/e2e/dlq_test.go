package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// deadLetter is a line of `signrelay dlq list --json`.
type deadLetter struct {
	Number   uint64
	Stage    string
	Reason   string
	Attempts int
	Replays  int
	Stream   string
	Sequence uint64
	Source   string
	About    string
}

func deadLetters(t *testing.T, h *testenv.Env, flags ...string) []deadLetter {
	t.Helper()
	list, err := h.Command(t, append([]string{"dlq", "list", "--json"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	var all []deadLetter
	for line := range strings.Lines(list) {
		var d deadLetter
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, d)
	}
	return all
}

// oneDeadLetter waits for one dead letter of a stage.
func oneDeadLetter(t *testing.T, h *testenv.Env, stage string) (d deadLetter) {
	t.Helper()
	h.Until(t, stage+" has written a dead letter", func() bool {
		all := deadLetters(t, h, "--stage", stage)
		if len(all) > 0 {
			d = all[0]
		}
		return len(all) == 1
	})
	return d
}

// The mail server refuses an address permanently. After it is fixed, the operator replays the dead letter: the e-mail arrives once, and the
// document's timeline shows every step.
func TestReplaySendsDeadLetter(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	setFault(t, h, `{"target":"smtp","mode":"550"}`)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"},
	}
	h.PublishCause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	dead := oneDeadLetter(t, h, "email-sender")
	if dead.Attempts != 1 || dead.Replays != 0 || dead.Stream != "NOTIFY" || dead.Sequence != 1 || dead.Source != "demo" || dead.About != "undeliverable by email" {
		t.Errorf("the dead letter: %+v", dead)
	}
	number := strconv.FormatUint(dead.Number, 10)
	listed, err := h.Command(t, "dlq", "list")
	if err != nil || strings.Count(listed, "\n") != 1 {
		t.Errorf("list: %v\n%s", err, listed)
	}
	shown, err := h.Command(t, "dlq", "show", number)
	if err != nil || !strings.Contains(shown, "email-sender") || !strings.Contains(shown, "Nats-Msg-Id: n1") {
		t.Errorf("show: %v\n%s", err, shown)
	}
	if output := listed + shown; strings.Contains(output, "Eric") || strings.Contains(output, "eric.smith") {
		t.Errorf("the output names a person:\n%s", output)
	}
	if body, err := h.Command(t, "dlq", "show", number, "--body"); err != nil || body != string(m.Data) {
		t.Errorf("show --body: %v, %q, want %q", err, body, m.Data)
	}

	output, err := h.Command(t, "dlq", "replay", number) // not a terminal
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "--yes") ||
		!strings.Contains(output, "1 × undeliverable by email, to 1 person") || strings.Contains(output, "eric") {
		t.Errorf("replay without --yes: %v\n%s", err, output)
	}
	h.WaitIdle(t)
	if len(h.Messages(t)) != 0 || len(deadLetters(t, h)) != 1 {
		t.Error("a replay without --yes sent a message or removed the dead letter")
	}

	if output, err := h.Command(t, "dlq", "replay", number, "--yes"); err != nil || !strings.Contains(output, "number "+number+" is replayed") {
		t.Fatalf("replay: %v\n%s", err, output)
	}
	h.Until(t, "the log has notification.sent", func() bool { return h.Count(t, "SIGNING", "signing.v1.*.*.notification.sent.d1") == 1 })
	if got := h.Messages(t); len(got) != 1 || got[0].To != "eric.smith@example.com" {
		t.Errorf("messages: %+v", got)
	}
	life, err := h.Command(t, "timeline", "d1")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(life), "\n") {
		want := []string{"notification.failed", "replay.requested", "notification.sent", ""}[min(i, 3)]
		if want == "" || !strings.Contains(line, want) {
			t.Errorf("line %d of the timeline is %q, want %q", i, line, want)
		}
	}
	if left := deadLetters(t, h); len(left) != 0 {
		t.Errorf("the DLQ still has %+v", left)
	}
	if _, err := h.Command(t, "dlq", "replay", number, "--yes"); err == nil || !strings.Contains(err.Error(), "not in the DLQ: number "+number) {
		t.Errorf("replay of a removed number: %v", err)
	}
}

// The input of the enricher's dead letter is in the log, which has many subscribers: a replay of it reaches the enricher only.
func TestReplayAddsNoSecondEvent(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	e := &signingv1.SigningEvent{
		Source: "closed", Provider: "clickwrap", Type: "document.sent", Document: &signingv1.Document{Id: "d2"}, OccurredAt: timestamppb.Now(),
	}
	e.Id = event.TransitionID(e)
	m, err := event.Message(t.Context(), e)
	h.Publish(t, m, err)
	before := oneDeadLetter(t, h, "enricher")
	if output, err := h.Command(t, "dlq", "replay", "--source", "closed", "--yes"); err != nil || !strings.Contains(output, "1 × document.sent") {
		t.Fatalf("replay: %v\n%s", err, output)
	}
	var after deadLetter
	h.Until(t, "there is a new dead letter", func() bool {
		all := deadLetters(t, h)
		if len(all) == 1 {
			after = all[0]
		}
		return len(all) == 1 && after.Number != before.Number
	})
	if after.Replays != 1 || after.Attempts != 2 || after.Stream != "SIGNING" || after.Sequence != before.Sequence || after.Reason != before.Reason {
		t.Errorf("the new dead letter: %+v; the old one: %+v", after, before)
	}
	if n := h.Count(t, "SIGNING", m.Subject); n != 1 {
		t.Errorf("the log holds the event %d times", n)
	}
	if n := h.Count(t, "SIGNING", "signing.v1.closed.clickwrap.replay.requested.d2"); n != 1 {
		t.Errorf("the log holds %d replays, want 1", n)
	}
}

func TestDropAndWrongUse(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	h.Publish(t, &nats.Msg{Subject: "notify.v1.send.sms.demo.clickwrap.d3", Data: []byte("\xff")}, nil)
	garbled := oneDeadLetter(t, h, "sms-sender")
	if garbled.Reason != "undecodable" || garbled.Source != "demo" {
		t.Errorf("%+v", garbled)
	}
	n, err := proto.Marshal(&notifyv1.Notification{Id: "n4"})
	h.Publish(t, &nats.Msg{Subject: "notify.v1.link.demo.clickwrap.d4", Data: append(n, 0xff)}, err)
	kept := oneDeadLetter(t, h, "shortener")

	number := strconv.FormatUint(garbled.Number, 10)
	for args, want := range map[string]string{
		"dlq replay":                      "exit status 2",
		"dlq replay --all " + number:      "exit status 2",
		"dlq replay --all --stage=enric":  "exit status 2",
		"dlq replay x":                    "exit status 2",
		"dlq replay --all --rate=0":       "exit status 2",
		"dlq list --since=yesterday":      "exit status 2",
		"dlq drop":                        "exit status 2",
		"dlq show":                        "exit status 2",
		"dlq show 999999":                 "exit status 1",
		"dlq drop 999999":                 "exit status 1",
		"dlq replay --all":                "exit status 1",
		"dlq replay --reason=no-such":     "",
		"dlq list --source=no-such":       "",
		"dlq list --nats.url=nats://[::1": "exit status 1",
	} {
		if out, err := h.Command(t, strings.Fields(args)...); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("signrelay %s: %v, want %q\n%s", args, err, want, out)
		}
	}
	if left := deadLetters(t, h); len(left) != 2 {
		t.Errorf("after these commands the DLQ lists %+v", left)
	}
	if out, err := h.Command(t, "dlq", "drop", number); err != nil || !strings.Contains(out, "number "+number+" is dropped") {
		t.Errorf("drop: %v\n%s", err, out)
	}
	if left := deadLetters(t, h); len(left) != 1 || left[0].Number != kept.Number {
		t.Errorf("after the drop the DLQ lists %+v", left)
	}
}

// setFault sets a fault of an outside party.
func setFault(t *testing.T, h *testenv.Env, fault string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, h.SandboxURL+"/api/faults", strings.NewReader(fault))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("fault %s: %s", fault, resp.Status)
	}
}
