package main

import (
	"bytes"
	"flag"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// text returns a dead letter of an SMS to that number.
func text(t *testing.T, number uint64, mobile string) stage.DeadLetter {
	t.Helper()
	n := &notifyv1.Notification{
		Id: "n", DocumentId: "a.b", Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_SMS,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", Mobile: mobile},
	}
	return stage.DeadLetter{Number: number, Stage: "sms-sender", Reason: "permanent", Input: stage.Input{
		ID: "n", Subject: "notify.v1.send.sms.acme.clickwrap.YS5i", Stream: "NOTIFY", Sequence: number, Data: encoded(t, n),
	}}
}

func happened(t *testing.T, number uint64) stage.DeadLetter {
	t.Helper()
	e := &signingv1.SigningEvent{Id: "e", Type: "document.sent", Document: &signingv1.Document{Id: "d1"}}
	return stage.DeadLetter{Number: number, Stage: "enricher", Input: stage.Input{
		ID: "e", Subject: "signing.v1.acme.clickwrap.document.sent.d1", Data: encoded(t, e),
	}}
}

func garbled(number uint64, subject string) stage.DeadLetter {
	return stage.DeadLetter{Number: number, Stage: "email-sender", Input: stage.Input{ID: "g", Subject: subject, Data: []byte("\xff")}}
}

func TestThePlanCountsAndNamesNoPerson(t *testing.T) {
	t.Parallel()
	unknown := text(t, 4, "+13175550187")
	unknown.Unknown = true
	gone := stage.DeadLetter{Number: 7, Stage: "sms-sender", Gone: true}
	var p deadLetterPlan
	for _, l := range []stage.DeadLetter{
		garbled(1, "notify.v1.send.email.acme.clickwrap.d1"),
		text(t, 2, "+13175551234"), text(t, 3, "+13175551234"), unknown, happened(t, 5), gone,
	} {
		p.add(l)
	}
	var out bytes.Buffer
	p.plan().print(&out, 10)
	want := `To replay: 5 dead letters, each only to the stage that gave it up, at most 10 a second.
  enricher      1 × document.sent, for the recipients that the provider returns
  sms-sender    3 × invitation by sms, to 2 people
  email-sender  1 × unreadable
Messages may be sent again: 3 by sms, those for 1 event.
The outcome of 1 is unknown: the stage checks the log first, and marks a message that it sends again as a possible duplicate.
`
	if out.String() != want {
		t.Errorf("the plan is\n%s\nwant\n%s", out.String(), want)
	}
	if p.n != 5 || len(p.gone) != 1 || p.gone[0].Number != 7 {
		t.Errorf("it replays %d, and the dead letters without a message are %v", p.n, p.gone)
	}
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yes       bool
		terminal  bool
		input     string
		confirmed bool
	}{
		"yes at a terminal":      {false, true, "y\n", true},
		"yes in full":            {false, true, " YES\n", true},
		"no":                     {false, true, "n\n", false},
		"return alone":           {false, true, "\n", false},
		"the terminal is closed": {false, true, "", false},
		"no terminal":            {false, false, "y\n", false},
		"--yes without terminal": {true, false, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := flag.NewFlagSet("", flag.ContinueOnError)
			fs.Bool("yes", c.yes, "")
			var out bytes.Buffer
			err := (&call{flags: fs, stdin: strings.NewReader(c.input), terminal: c.terminal, stdout: &out}).confirm(t.Context())
			if (err == nil) != c.confirmed {
				t.Errorf("%v", err)
			}
			if asked := strings.Contains(out.String(), "[y/N]"); asked != (c.terminal && !c.yes) {
				t.Errorf("asked for confirmation: %v", asked)
			}
		})
	}
}

func TestTheLogRecordsAReplay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	l := text(t, 1, "+13175551234")
	m, err := replayRequested(t.Context(), l, at)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "signing.v1.acme.clickwrap.replay.requested.YS5i" || e.GetDocument().GetId() != "a.b" || e.GetRecipient().GetId() != "r1" ||
		!event.Time(e).Equal(at) || e.GetProviderType() != "" || e.GetAttributes()["stage"] != "sms-sender" ||
		e.GetAttributes()["reason"] != "permanent" || e.GetAttributes()["replay"] != "1" {
		t.Errorf("%s: %v", m.Subject, e)
	}
	if strings.Contains(string(m.Data), "1317") || strings.Contains(string(m.Data), "Eric") {
		t.Error("it contains a number or a name")
	}
	again, err := replayRequested(t.Context(), l, at.Add(time.Hour))
	if err != nil || again.Header.Get("Nats-Msg-Id") != m.Header.Get("Nats-Msg-Id") {
		t.Errorf("the same replay, repeated, is another event: %v", err)
	}
	l.Replays = 1
	second, err := replayRequested(t.Context(), l, at)
	if err != nil || second.Header.Get("Nats-Msg-Id") == m.Header.Get("Nats-Msg-Id") {
		t.Errorf("the second replay is the same event as the first: %v", err)
	}
}

func TestTheLogRecordsTheReplayOfAnUnreadableMessage(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"notify.v1.send.email.acme.clickwrap.d1":     "signing.v1.acme.clickwrap.replay.requested.d1",
		"notify.v1.link.acme.clickwrap.d1":           "signing.v1.acme.clickwrap.replay.requested.d1",
		"signing.v1.acme.clickwrap.document.sent.d1": "signing.v1.acme.clickwrap.replay.requested.d1",
		"signing.v1.acme.clickwrap.document.sent._":  "signing.v1.acme.clickwrap.replay.requested._",
		"notify.v1.send.email":                       "signing.v1._._.replay.requested._",
		"elsewhere":                                  "signing.v1._._.replay.requested._",
	} {
		m, err := replayRequested(t.Context(), garbled(1, subject), time.Now())
		if err != nil || m.Subject != want {
			t.Errorf("%s: %v, %v; want %s", subject, m, err, want)
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	l := text(t, 2, "+13175551234")
	l.Buried = time.Now()
	for name, c := range map[string]struct {
		which selection
		want  bool
	}{
		"any":            {selection{}, true},
		"number":         {selection{numbers: map[uint64]bool{2: true}}, true},
		"another number": {selection{numbers: map[uint64]bool{1: true}}, false},
		"all four":       {selection{stage: "sms-sender", reason: "permanent", source: "acme", since: l.Buried}, true},
		"another stage":  {selection{stage: "enricher"}, false},
		"another reason": {selection{reason: "panic"}, false},
		"another source": {selection{source: "other"}, false},
		"since later":    {selection{since: l.Buried.Add(1)}, false},
	} {
		if got := c.which.has(candidateOf(l)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
