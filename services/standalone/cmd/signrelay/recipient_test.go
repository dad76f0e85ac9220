package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// happened stores an event about a person of a document.
func (w *installation) happened(source, provider, typ, document string, who *signingv1.Recipient, change ...func(*signingv1.SigningEvent)) {
	w.Helper()
	e := &signingv1.SigningEvent{
		Source: source, Provider: provider, Type: typ, OccurredAt: timestamppb.New(time.Now().Add(-time.Hour)), Verification: signingv1.Verification_VERIFICATION_HMAC,
		Document: &signingv1.Document{Id: document}, Recipient: who,
	}
	for _, f := range change {
		f(e)
	}
	e.Id = event.OccurrenceID(e, document, who.GetId(), strconv.FormatInt(time.Now().UnixNano(), 10))
	m, err := event.Message(w.Context(), e)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.js.PublishMsg(w.Context(), m); err != nil {
		w.Fatal(err)
	}
}

// fulfil answers each order in the log, in place of the enricher, until the test ends.
func (w *installation) fulfil(outcome func(order *signingv1.SigningEvent, is *signingv1.SigningEvent)) {
	w.Helper()
	for _, typ := range []string{event.CorrectionRequested, event.ResendRequested} {
		sub, err := w.conn.SubscribeSync(event.TypeFilter(typ))
		if err != nil {
			w.Fatal(err)
		}
		go func() {
			for {
				m, err := sub.NextMsgWithContext(w.Context())
				if err != nil {
					return
				}
				order, err := event.Decode(m.Data)
				if err != nil {
					continue
				}
				is := &signingv1.SigningEvent{
					Id: "outcome-of-" + order.GetId(), Source: order.GetSource(), Provider: order.GetProvider(), OccurredAt: timestamppb.Now(),
					Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: order.GetDocument(), Recipient: order.GetRecipient(),
					Attributes: map[string]string{event.AttributeOrder: order.GetId()},
				}
				outcome(order, is)
				if m, err := event.Message(w.Context(), is); err == nil {
					_, _ = w.js.PublishMsg(w.Context(), m)
				}
			}
		}()
	}
	if err := w.conn.Flush(); err != nil {
		w.Fatal(err)
	}
}

// ordered returns the orders of a type.
func (w *installation) ordered(typ string) (all []*signingv1.SigningEvent) {
	w.Helper()
	for m, err := range (event.Log{JS: w.js, Stream: flow.Signing}).Messages(w.Context(), event.TypeFilter(typ), time.Time{}) {
		if err != nil {
			w.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

var jayne = &signingv1.Recipient{Id: "r7", FirstName: "Jayne", LastName: "Doe", Email: "jayne@example.com"}

// A correction keeps what is not given as the log has it, says what it does without a name, and prints the outcome.
func TestRecipientCorrect(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.happened("demo", "pleasesign", event.RecipientSent, "d1", jayne)
	w.happened("demo", "pleasesign", event.RecipientSigned, "d1", &signingv1.Recipient{Id: "r8"})
	w.fulfil(func(order, is *signingv1.SigningEvent) {
		is.Type, is.Recipient = event.RecipientCorrected, order.GetRecipient()
		is.Recipient.Id = "r9"
		is.Attributes[event.AttributeScope], is.Attributes[event.AttributePrevious] = event.AtProvider, "r7"
	})
	const command = "recipient correct --recipient r7 --reason ticket-9 --by ops "
	status, out, errs := w.run(command + "--email jane@example.com d1")
	if status != 1 || !strings.Contains(errs, "pass --yes") || len(w.ordered(event.CorrectionRequested)) != 0 {
		t.Fatalf("without --yes: %d\n%s%s", status, out, errs)
	}
	status, out, errs = w.run(command + "--yes --first-name Jane --mobile 0491570313 d1")
	asked := w.ordered(event.CorrectionRequested)
	if status != 0 || len(asked) != 1 {
		t.Fatalf("%d\n%s%s", status, out, errs)
	}
	want := "To correct: 1 person. The person is r7 (told) on d1 of pleasesign/demo.\nChanges: the first name, the mobile number.\nStays as the log has it: the last name, the e-mail address.\n" +
		"The provider corrects the person, who is then invited again. Nothing more goes to the addresses from before, and links in earlier messages stop working.\n" +
		"The person is corrected at PleaseSign. The new invitation is on its way.\n"
	if out != want {
		t.Errorf("prints\n%s\nwant\n%s", out, want)
	}
	a, who := asked[0].GetAttributes(), asked[0].GetRecipient()
	if a["by"] != "ops" || a["reason"] != "ticket-9" || who.GetFirstName() != "Jane" || who.GetLastName() != "Doe" || who.GetEmail() != "jayne@example.com" || who.GetMobile() != "+61491570313" {
		t.Errorf("%v", asked[0])
	}

	_, out, _ = w.run("timeline d1")
	for _, want := range []string{"  recipient=r7 by=ops: ticket-9\n", "  recipient=r9 scope=provider previous=r7\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, out)
		}
	}

	// The next correction is of the person with the new id, and begins with the corrected details.
	status, out, errs = w.run("recipient correct --recipient r7 --reason ticket-9 --yes --email jane@example.com d1")
	if status != 2 || !strings.Contains(errs, "names no person with this id") || !strings.Contains(errs, "\n  r9  not-yet\n  r8  signed") {
		t.Errorf("the id before: %d\n%s%s", status, out, errs)
	}
	status, out, errs = w.run("recipient correct --recipient r9 --reason ticket-10 --yes --json --email jane@example.com d1")
	var is personOutcome
	if err := json.Unmarshal([]byte(out), &is); status != 0 || err != nil || !is.Done || is.Recipient != "r9" || is.Outcome[0] != event.RecipientCorrected {
		t.Errorf("%d, %v, %+v\n%s", status, err, is, errs)
	}
	if last := w.ordered(event.CorrectionRequested)[1].GetRecipient(); last.GetFirstName() != "Jane" || last.GetMobile() != "+61491570313" || last.GetEmail() != "jane@example.com" {
		t.Errorf("%v", last)
	}
	for _, private := range []string{"Jane", "Jayne", "example.com", "61491570313"} {
		if strings.Contains(out+errs, private) {
			t.Errorf("%q is printed", private)
		}
	}
}

// Every mistake is named before something is stored, with its flag and what to do. The status of wrong use is 2, that of a refusal 1.
func TestRecipientMistakes(t *testing.T) { //nolint:tparallel // the last check follows the subtests
	t.Parallel()
	w := newInstallation(t)
	w.happened("demo", "pleasesign", event.RecipientSent, "d1", &signingv1.Recipient{Id: "r7", FirstName: "Jayne", Email: "jayne@example.com"})
	w.happened("demo", "pleasesign", event.RecipientSigned, "d1", &signingv1.Recipient{Id: "r8", FirstName: "Bob", LastName: "Ray", Email: "bob@example.com"})
	w.happened("demo", "pleasesign", event.RecipientSent, "d2", jayne)
	w.happened("demo", "clickwrap", event.RecipientSent, "d2", jayne)
	w.happened("other", "pleasesign", event.RecipientSent, "d3", jayne)
	w.happened("demo", "pleasesign", event.RecipientSent, "d4", jayne, func(e *signingv1.SigningEvent) { e.OccurredAt = timestamppb.Now() })
	t.Run("each", func(t *testing.T) { w.mistakes(t) })
	if n := len(w.subjects(flow.Signing)); n != 6+1 {
		t.Errorf("the log has %d events, want the one order that has no outcome", n-6)
	}
}

func (w *installation) mistakes(t *testing.T) {
	t.Helper()
	const why = " --reason ticket-9 --yes "
	for name, c := range map[string]struct {
		line   string
		status int
		want   []string
	}{
		"no reason":    {"recipient correct --recipient r7 --email a@example.com d1", 2, []string{"--reason is required"}},
		"no document":  {"recipient correct --recipient r7 --email a@example.com" + why, 2, []string{"want a document's id"}},
		"another one":  {"recipient resend --recipient r7" + why + "dx", 1, []string{"no events of this document"}},
		"no person":    {"recipient resend" + why + "d1", 2, []string{"--recipient is required", "\n  r7  told\n  r8  signed"}},
		"no detail":    {"recipient correct --recipient r7" + why + "d1", 2, []string{"nothing to correct"}},
		"unknown name": {"recipient correct --recipient r7 --email a@example.com" + why + "d1", 2, []string{"--last-name: the provider needs it, and the log does not know it: pass it"}},
		"several at once": {
			"recipient correct --recipient r7 --last-name Doe --email a.example.com --mobile 12" + why + "d1", 2,
			[]string{"--email: it is not an e-mail address", "; --mobile: it"},
		},
		"not this number":   {"recipient correct --recipient r7 --last-name Doe --mobile +13175551234" + why + "d1", 2, []string{"--mobile: PleaseSign takes Australian mobile numbers only"}},
		"a name as reason":  {"recipient correct --recipient r7 --last-name Doeson --yes --reason for-Doeson d1", 2, []string{"--reason names the person"}},
		"signed":            {"recipient correct --recipient r8 --last-name Roy" + why + "d1", 1, []string{"the person has signed"}},
		"unchanged":         {"recipient correct --recipient r7 --last-name Doe" + why + "--source demo d4", 1, []string{"has this name and these addresses already"}},
		"several sources":   {"recipient resend --recipient r7" + why + "d2", 2, []string{"several sources", "demo (pleasesign)", "demo (clickwrap)"}},
		"not in settings":   {"recipient resend --recipient r7" + why + "d3", 2, []string{`the settings have no source "pleasesign/other"`}},
		"too soon":          {"recipient resend --recipient r7" + why + "d4", 1, []string{"PleaseSign wrote to the person at ", "accepts the next request at"}},
		"a strange channel": {"recipient resend --recipient r7 --channels pigeon" + why + "d1", 2, []string{`no channel "pigeon"`}},
		"no outcome": {
			"recipient resend --recipient r7 --wait 1s" + why + "d1", 1,
			[]string{"no outcome after 1s", "signrelay timeline", "dlq list --stage enricher"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, errs := w.run(c.line)
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if status != c.status || t.Failed() {
				t.Errorf("status %d, want %d\n%s%s", status, c.status, out, errs)
			}
		})
	}
}

// An invitation goes once more by our own channels or by the provider, and a refusal is told in words.
func TestRecipientResend(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.happened("demo", "pleasesign", event.RecipientSent, "d1", jayne)
	w.happened("demo", "clickwrap", event.NotificationRequested, "d2", jayne, func(e *signingv1.SigningEvent) {
		e.Notice = &signingv1.Notice{NotificationId: "n1", Kind: "invitation", Channel: "email"}
	})
	w.happened("demo", "pleasesign", event.RecipientSent, "d3", jayne)
	w.fulfil(func(order, is *signingv1.SigningEvent) {
		switch order.GetDocument().GetId() {
		case "d1":
			is.Type = event.RecipientResent
		case "d2":
			is.Type, is.Attributes = event.NotificationRequested, nil
			is.Notice = &signingv1.Notice{NotificationId: "n2", Kind: "invitation", Channel: "email", EventId: order.GetId()}
		default:
			is.Type = event.ResendRefused
			is.Attributes[event.AttributeReason], is.Attributes[event.AttributeMessage] = "refused", "jayne@example.com is blocked"
		}
	})
	for document, c := range map[string]struct {
		status int
		want   string
	}{
		"d1": {0, "PleaseSign sent its message to the person once more."},
		"d2": {0, "The invitation is on its way once more by e-mail."},
		"d3": {1, "signrelay recipient resend: the invitation is not sent again: PleaseSign did not accept it\n"},
	} {
		status, out, errs := w.run("recipient resend --recipient r7 --yes --reason ticket-9 " + document)
		if status != c.status || !strings.Contains(out+errs, c.want) || strings.Contains(out+errs, "jayne@") {
			t.Errorf("%s: %d\n%s%s", document, status, out, errs)
		}
	}
	asked := w.ordered(event.ResendRequested)
	if len(asked) != 3 {
		t.Fatalf("%v", asked)
	}
	for _, e := range asked {
		if want := map[string]string{"d1": event.ByProvider, "d2": "email", "d3": event.ByProvider}[e.GetDocument().GetId()]; e.GetAttributes()[event.AttributeChannels] != want {
			t.Errorf("%v, want %s", e, want)
		}
	}
}
