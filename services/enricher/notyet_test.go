package enricher

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// follows lists the outputs of an attempt: messages with their person, and events with type, person and reason.
func follows(t *testing.T, outs []stage.Out) []string {
	t.Helper()
	var found []string
	for _, m := range outs {
		if m.Header.Get("ce-id") == "" {
			n, err := notification.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			all, err := notification.PerChannel(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range all {
				found = append(found, event.KindName(one.GetKind())+" to "+one.GetTo().GetRecipientId())
			}
			continue
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e.GetType() == event.NotificationSuppressed {
			found = append(found, "suppressed "+e.GetRecipient().GetId()+": "+e.GetNotice().GetReason())
		}
	}
	slices.Sort(found)
	return found
}

// The enricher requests a missing link again, with growing pauses, for an hour. The other recipients get their messages at once. After the
// hour, the log has the suppressed message with its reason.
func TestAMissingLinkIsRequestedAgain(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	api := &provider{document: pack.Document{Recipients: []pack.Recipient{bob, with(ann, unresolved)}}}
	e := beside(t, b, sources(api))
	sent := about(event.DocumentSent, "doc", "", hmac)
	stored := time.Unix(1_700_000_000, 0)
	now := stored
	e.now = func() time.Time { return now }
	attempt := func(n int) ([]string, stage.Decision) {
		outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{Attempt: n, Stored: stored, Data: sent})
		return follows(t, outs), stage.Decide(err, n, flow.StageNamed(flow.Enricher).Policy)
	}

	var pauses []time.Duration
	for n := 1; ; n++ {
		got, verdict := attempt(n)
		if verdict.Kind == "done" {
			if age := now.Sub(stored); age < time.Hour || age > 70*time.Minute || n > 25 {
				t.Errorf("given up after %v and %d attempts", age, n)
			}
			if want := []string{"invitation to bob", "suppressed ann: no-link"}; !slices.Equal(got, want) {
				t.Errorf("the outputs are %q, want %q", got, want)
			}
			break
		}
		if want := []string{"invitation to bob"}; !slices.Equal(got, want) || verdict.Kind != "retry" || verdict.Reason != "not-yet" || n > 100 {
			t.Fatalf("attempt %d makes %q: %+v", n, got, verdict)
		}
		pauses = append(pauses, verdict.Delay)
		now = now.Add(verdict.Delay)
	}
	if pauses[0] != 5*time.Second || slices.Max(pauses) != 5*time.Minute || !slices.IsSorted(pauses) {
		t.Errorf("pauses %v", pauses)
	}

	// For an event that waited longer than an hour in our own queue, two requests are made.
	if _, verdict := attempt(1); verdict.Kind != "retry" {
		t.Errorf("one request is made for an old event: %+v", verdict)
	}
	// If the link is available, no message waits.
	api.set(func(d *pack.Document) { d.Recipients = []pack.Recipient{bob, ann} })
	if got, verdict := attempt(2); verdict.Kind != "done" || !slices.Equal(got, []string{"invitation to ann", "invitation to bob"}) {
		t.Errorf("with the link %q: %+v", got, verdict)
	}
}

// The same for a document whose signers are not listed yet.
func TestMissingSignersAreRequestedAgain(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	api := &provider{document: pack.Document{Status: pack.StatusOpen}}
	e := beside(t, b, sources(api))
	stored := time.Unix(1_700_000_000, 0)
	for age, want := range map[time.Duration][]string{0: nil, 59 * time.Minute: nil, time.Hour: {"suppressed : no-signers"}} {
		e.now = func() time.Time { return stored.Add(age) }
		outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{Attempt: 2, Stored: stored, Data: about(event.DocumentSent, "doc", "", hmac)})
		if got := follows(t, outs); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("after %v: %q, %v", age, got, err)
		}
	}
}

// While one document waits, its other signer and other documents get their messages. Each output is stored once.
func TestAWaitingDocumentDelaysNoOther(t *testing.T) {
	t.Parallel()
	api := &provider{document: pack.Document{Recipients: []pack.Recipient{bob, with(ann, unresolved)}}}
	b := start(t, api)
	for _, document := range []string{"one", "two", "three"} {
		publish(t, b, about(event.DocumentSent, document, "", hmac))
	}
	for _, document := range []string{"one", "two", "three"} {
		b.Await(flow.Notify, "notify.v1.link.acme.clickwrap."+document, 1)
		b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.requested."+document, 1)
	}
	if n := b.Count(flow.Signing, "signing.v1.*.*.notification.suppressed.>"); n != 0 {
		t.Errorf("%d suppressed", n)
	}
}

// The log has the invitations that were suppressed for lack of a link, and were not made later.
func TestTheLogHasTheInvitationsWithoutALink(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	e := beside(t, b, sources(&provider{}))
	signature := about(event.RecipientSigned, "doc", "bob", hmac)
	planned := plan(us, about(event.DocumentSent, "doc", "", hmac), &pack.Document{Recipients: []pack.Recipient{
		bob, with(ann, unresolved), with(ann, unresolved, func(r *pack.Recipient) { r.ID = "dee" }), with(cyd, byEmail, unresolved),
	}}, history{})
	publish := func(m *nats.Msg, err error) { t.Helper(); b.Publish(m, err) }
	for i, u := range planned.Waiting {
		reason := recipient.NoLink
		if i == 2 {
			reason = recipient.NumberLetters
		}
		publish(event.Message(t.Context(), notification.Suppressed(u.Message, flow.Enricher, time.Now(), reason)))
	}
	publish(event.Message(t.Context(), notification.Requested(planned.Waiting[1].Message, flow.Enricher, time.Now())))
	past, err := e.history(t.Context(), signature, time.Now())
	if err != nil || len(past.linkless) != 1 || !past.linkless[planned.Waiting[0].Message.GetId()] {
		t.Errorf("%v, %v", past.linkless, err)
	}
}

// An event that waits for the provider never becomes a dead letter, after any number of requests.
func TestWaitingForTheProviderHasNoAttemptLimit(t *testing.T) {
	t.Parallel()
	policy := flow.StageNamed(flow.Enricher).Policy
	err := notYet(time.Unix(0, 0), policy.MaxAttempts, time.Unix(10, 0))
	if v := stage.Decide(err, policy.MaxAttempts, policy); v.Kind != "retry" || v.Delay != 10*time.Second {
		t.Errorf("%+v", v)
	}
}

// The documentation lists every reason.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/subscribe.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{
		recipient.NoAddress, recipient.AddressInvalid, recipient.AddressSeveral, recipient.NumberInvalid, recipient.NumberIncomplete,
		recipient.NumberLetters, recipient.NumberSeveral, recipient.NoChannel, recipient.ChannelOff, recipient.NoLink, recipient.LinkInvalid,
		recipient.NoSigners, recipient.NoSenderAddress, recipient.OptedOut, recipient.Landline, documentOver, unconfirmed, notification.OlderThanLog,
	} {
		if !strings.Contains(string(doc), "| `"+reason+"` |") {
			t.Errorf("docs/subscribe.md lacks %s", reason)
		}
	}
}
