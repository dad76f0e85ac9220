package enricher

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// changeable is a provider that corrects people and writes to them again, as PleaseSign does: a corrected person gets another id.
type changeable struct {
	*provider
	fails     error
	corrected []pack.Details
	resent    []string
}

func (c *changeable) Correct(_ context.Context, _, id string, to pack.Details) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return "", c.fails
	}
	i := slices.IndexFunc(c.document.Recipients, func(r pack.Recipient) bool { return r.ID == id })
	if i < 0 {
		return id + "-2", nil
	}
	c.corrected = append(c.corrected, to)
	c.document.Recipients = slices.Clone(c.document.Recipients)
	r := &c.document.Recipients[i]
	r.ID, r.FirstName, r.LastName, r.Email, r.Mobile = id+"-2", to.FirstName, to.LastName, to.Email, to.Mobile
	return r.ID, nil
}

func (c *changeable) Resend(_ context.Context, _, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resent = append(c.resent, id)
	return c.fails
}

// order returns the sender's order about a person.
func orderFor(typ, id string, to pack.Details, attributes ...string) *signingv1.SigningEvent {
	e := about(typ, "doc", "", signingv1.Verification_VERIFICATION_INTERNAL)
	e.Recipient = recipient.Corrected(id, to)
	e.Attributes = map[string]string{event.AttributeBy: event.BySender, event.AttributeReason: "it bounced"}
	for i := 0; i < len(attributes); i += 2 {
		e.Attributes[attributes[i]] = attributes[i+1]
	}
	e.Id = event.OccurrenceID(e, id, typ, to.Email, to.Mobile)
	return e
}

func at(provider string, api pack.API) func() providers.Sources {
	all := providers.Sources{{Name: "acme", Provider: provider}: {Settings: config.Source{Name: "acme", Provider: provider, Region: "AU"}, API: api}}
	return func() providers.Sources { return all }
}

var jane = pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@example.com", Mobile: "0491 570 313"}

// What becomes of an order, by the provider and by the person's state. A refusal says why, and nothing is stored then.
func TestTheOutcomeOfACorrection(t *testing.T) {
	t.Parallel()
	refusedBy := func(status int, message string) error {
		return outcome.Permanent(&pack.CallError{Op: "POST correct", Status: status, Message: message})
	}
	for name, row := range map[string]struct {
		provider string
		people   []pack.Recipient
		status   pack.Status
		past     []*signingv1.SigningEvent
		fails    error
		to       pack.Details
		want     string // the outcome's type
		reason   string // of a refusal
		message  string
		kind     stage.Kind // of the attempt, if it is not done
	}{
		"at the provider":               {provider: "pleasesign", to: jane, want: event.RecipientCorrected},
		"for our own messages":          {provider: "clickwrap", to: jane, want: event.RecipientCorrected},
		"a name only, for our own":      {provider: "clickwrap", to: pack.Details{FirstName: "Anne", LastName: "Lee", Mobile: "+1 317 555 0001"}, want: event.RecipientCorrected},
		"the provider needs an address": {provider: "pleasesign", to: pack.Details{FirstName: "Jane", LastName: "Doe"}, want: event.CorrectionRefused, reason: event.RefusedNotAllowed},
		"a number that is none":         {provider: "clickwrap", to: pack.Details{Mobile: "call me"}, want: event.CorrectionRefused, reason: event.RefusedNotAllowed},
		"the same details":              {provider: "clickwrap", people: []pack.Recipient{with(ann, func(r *pack.Recipient) { r.Mobile = "+1 (317) 555-0001" })}, to: pack.Details{FirstName: "Ann", LastName: "Lee", Mobile: "+13175550001"}, want: event.CorrectionRefused, reason: event.RefusedUnchanged},
		"another person":                {provider: "clickwrap", people: []pack.Recipient{bob}, to: jane, want: event.CorrectionRefused, reason: "not-listed"},
		"a person whom the provider invites": {
			provider: "clickwrap", people: []pack.Recipient{with(ann, uninvited)}, to: jane, want: event.CorrectionRefused, reason: recipient.ProviderWrites,
		},
		"signed, by the log": {
			provider: "pleasesign", past: []*signingv1.SigningEvent{about(event.RecipientSigned, "doc", "ann", hmac)}, to: jane, want: event.CorrectionRefused, reason: event.OverSigned,
		},
		"signed, by the provider": {provider: "clickwrap", people: []pack.Recipient{with(ann, signed)}, to: jane, want: event.CorrectionRefused, reason: event.OverSigned},
		"voided, by the log": {
			provider: "pleasesign", past: []*signingv1.SigningEvent{about(event.DocumentVoided, "doc", "", hmac)}, to: jane, want: event.CorrectionRefused, reason: event.OverDocument,
		},
		"completed, by the provider": {provider: "clickwrap", status: pack.StatusCompleted, to: jane, want: event.CorrectionRefused, reason: event.OverDocument},
		"a person who opted out": {provider: "pleasesign", to: jane, want: event.RecipientCorrected, past: []*signingv1.SigningEvent{func() *signingv1.SigningEvent {
			e := about(event.RecipientOptedOut, "doc", "ann", signingv1.Verification_VERIFICATION_INTERNAL)
			e.Attributes = map[string]string{"channel": event.AllChannels}
			return e
		}()}},
		"the provider refuses": {
			provider: "pleasesign", fails: refusedBy(http.StatusBadRequest, "Mobile is not valid."), to: jane,
			want: event.CorrectionRefused, reason: event.RefusedByProvider, message: "Mobile is not valid.",
		},
		"the provider does not know the document": {
			provider: "pleasesign", fails: refusedBy(http.StatusNotFound, ""), to: jane, want: event.CorrectionRefused, reason: "not-listed",
		},
		"the provider is away":         {provider: "pleasesign", fails: failed(0, &pack.CallError{Op: "POST correct", Status: http.StatusBadGateway}), to: jane, kind: "retry"},
		"the operator must act first":  {provider: "pleasesign", fails: outcome.NeedsOperator(outcome.Account, "keys", &pack.CallError{Op: "POST correct", Status: http.StatusUnauthorized}), to: jane, kind: "retry"},
		"a state that forbids changes": {provider: "pleasesign", fails: &pack.NotCorrectableError{Reason: pack.HasSigned}, to: jane, want: event.CorrectionRefused, reason: event.OverSigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			people := row.people
			if people == nil {
				people = []pack.Recipient{ann, bob}
			}
			status := row.status
			if status == "" {
				status = pack.StatusOpen
			}
			base := &provider{document: pack.Document{Status: status, Recipients: people}}
			api := &changeable{provider: base, fails: row.fails}
			e := beside(t, b, at(row.provider, base))
			if row.provider == "pleasesign" {
				e = beside(t, b, at(row.provider, api))
			}
			for _, p := range row.past {
				p = proto.CloneOf(p)
				p.Provider = row.provider
				publish(t, b, p)
			}
			order := orderFor(event.CorrectionRequested, "ann", row.to)
			order.Provider = row.provider
			stored := time.Now().UTC()
			outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{ID: order.GetId(), Attempt: 1, Stored: stored, Data: order})
			if kind := stage.Decide(err, 1, flow.StageNamed(flow.Enricher).Policy).Kind; row.kind != "" {
				if kind != row.kind || len(outs) != 0 {
					t.Errorf("%s with %d outputs (%v), want %s", kind, len(outs), err, row.kind)
				}
				return
			}
			if err != nil || len(outs) != 1 {
				t.Fatalf("%d outputs, %v", len(outs), err)
			}
			got, err := event.Decode(outs[0].Data)
			if err != nil || got.GetType() != row.want || got.GetAttributes()[event.AttributeOrder] != order.GetId() || got.GetAttributes()[event.AttributeBy] != event.BySender {
				t.Fatalf("%v, %v, want %s", got, err, row.want)
			}
			is, err := e.optOuts.CorrectionOf(t.Context(), event.Signer{Source: "acme", Provider: row.provider, Document: "doc", Recipient: "ann"})
			if err != nil {
				t.Fatal(err)
			}
			if row.want == event.CorrectionRefused {
				if got.GetAttributes()[event.AttributeReason] != row.reason || row.message != "" && got.GetAttributes()[event.AttributeMessage] != row.message || is.ID != "" {
					t.Errorf("refused with %v and stored %q, want %q %q", got.GetAttributes(), is.ID, row.reason, row.message)
				}
				return
			}
			if is.ID != got.GetId() || !is.At.Equal(event.Time(got)) {
				t.Errorf("stored %v, want that of %v", is, got)
			}
			want := recipient.Corrected("ann", row.to)
			scope, previous := event.OwnMessages, ""
			if row.provider == "pleasesign" {
				scope, previous, want.Id = event.AtProvider, "ann", "ann-2"
			}
			if want.Mobile == "0491 570 313" {
				want.Mobile = "+61491570313"
			} else {
				want.Mobile = "+13175550001"
			}
			if !proto.Equal(got.GetRecipient(), want) || got.GetAttributes()[event.AttributeScope] != scope || got.GetAttributes()[event.AttributePrevious] != previous {
				t.Errorf("%v with %v, want %v, %s, %q", got.GetRecipient(), got.GetAttributes(), want, scope, previous)
			}
		})
	}
}

// A correction invites the person at the new address once, and each later message goes there. The provider still has the old address.
func TestEveryMessageAfterACorrectionGoesToTheNewAddress(t *testing.T) {
	t.Parallel()
	api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{with(ann, place(1)), with(bob, place(2)), with(cyd, place(2))}}}
	b := start(t, api)
	awaits := func(kind string, count int, want ...string) {
		t.Helper()
		var got []string
		for _, m := range b.Await(flow.Notify, "notify.v1.>", count) {
			n, err := notification.Decode(m.Data())
			if err != nil {
				t.Fatal(err)
			}
			all, err := notification.PerChannel(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range all {
				if n.GetKind().String() == "KIND_"+kind {
					got = append(got, n.GetTo().GetRecipientId()+" "+n.GetTo().GetMobile()+n.GetTo().GetEmail()+corrected(n.GetTo().GetCorrection()))
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s to %q, want %q", kind, got, want)
		}
	}
	publish(t, b, about(event.DocumentSent, "doc", "", hmac))
	awaits("INVITATION", 1, "ann +13175550001")

	publish(t, b, orderFor(event.CorrectionRequested, "ann", pack.Details{FirstName: "Ann", LastName: "Lee", Mobile: "+1 317 555 0099"}))
	awaits("INVITATION", 2, "ann +13175550001", "ann +13175550099 corrected")
	// Bob's turn comes later. He is invited once, at the new address.
	publish(t, b, orderFor(event.CorrectionRequested, "bob", pack.Details{FirstName: "Bob", Email: "robert@example.com"}))
	b.Await(flow.Signing, event.TypeFilter(event.RecipientCorrected), 2)
	b.Await(flow.Signing, event.TypeFilter(event.NotificationSuppressed), 1) // not-their-turn
	publish(t, b, about(event.RecipientSigned, "doc", "ann", hmac))
	awaits("INVITATION", 4, "ann +13175550001", "ann +13175550099 corrected", "bob robert@example.com corrected", "cyd +61412345678", "cyd cyd@example.com")

	publish(t, b, about(event.RecipientUndeliverable, "other", "bob", hmac)) // the control: another document is not corrected
	done := about(event.DocumentCompleted, "doc", "", hmac)
	api.set(func(d *pack.Document) { d.Status = pack.StatusCompleted })
	publish(t, b, done)
	awaits("COMPLETED", 7, "ann +13175550099 corrected", "bob robert@example.com corrected", "cyd +61412345678", "cyd cyd@example.com")
}

func corrected(id string) string {
	if id == "" {
		return ""
	}
	return " corrected"
}

// After a crash, the order is fulfilled once: the provider is asked for the person it has made, and the log is asked for the outcome.
func TestACorrectionIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	api := &changeable{provider: &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{with(ann, uninvited)}}}}
	e := beside(t, b, at("pleasesign", api))
	order := orderFor(event.CorrectionRequested, "ann", jane)
	order.Provider = "pleasesign"
	in := stage.Event[*signingv1.SigningEvent]{ID: order.GetId(), Attempt: 1, Stored: time.Now().UTC(), Data: order}
	first, err := e.enrich(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Attempt = 2 // the first attempt ended before it published
	again, err := e.enrich(t.Context(), in)
	if err != nil || len(again) != 1 || len(api.corrected) != 1 {
		t.Fatalf("%d outputs, %v, %d corrections at the provider", len(again), err, len(api.corrected))
	}
	one, _ := event.Decode(first[0].Data)
	two, _ := event.Decode(again[0].Data)
	if !proto.Equal(one, two) {
		t.Errorf("%v, and then %v", one, two)
	}
	b.Publish(again[0], nil)
	if outs, err := e.enrich(t.Context(), in); len(outs) != 0 || stage.Decide(err, 3, flow.StageNamed(flow.Enricher).Policy).Kind != "skip" {
		t.Errorf("%d outputs, %v", len(outs), err)
	}
	other := orderFor(event.CorrectionRequested, "ann", pack.Details{FirstName: "J", LastName: "Doe", Email: "j@example.com"})
	other.Provider = "pleasesign"
	outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{ID: other.GetId(), Attempt: 1, Stored: time.Now().UTC(), Data: other})
	if err != nil || len(outs) != 1 {
		t.Fatal(err)
	}
	if got, _ := event.Decode(outs[0].Data); got.GetAttributes()[event.AttributeReason] != event.OverCorrected {
		t.Errorf("an order about the person before the correction: %v", got)
	}
}

// The provider's own message, once more.
func TestTheProviderWritesAgain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		provider string
		fails    error
		want     string
		reason   string
	}{
		"sent":               {"pleasesign", nil, event.RecipientResent, ""},
		"too soon":           {"pleasesign", outcome.Permanent(&pack.CallError{Op: "POST resend", Status: http.StatusBadRequest, Message: "Wait 30 minutes."}), event.ResendRefused, event.RefusedByProvider},
		"a silent recipient": {"pleasesign", &pack.NotCorrectableError{Reason: pack.WritesNothing}, event.ResendRefused, string(pack.WritesNothing)},
		"no such call":       {"clickwrap", nil, event.ResendRefused, event.RefusedNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			base := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{with(ann, uninvited)}}}
			var api pack.API = base
			if row.provider == "pleasesign" {
				api = &changeable{provider: base, fails: row.fails}
			}
			order := orderFor(event.ResendRequested, "ann", pack.Details{}, event.AttributeChannels, event.ByProvider)
			order.Provider = row.provider
			outs, err := beside(t, b, at(row.provider, api)).enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{Attempt: 1, Stored: time.Now(), Data: order})
			if err != nil || len(outs) != 1 {
				t.Fatalf("%d outputs, %v", len(outs), err)
			}
			if got, err := event.Decode(outs[0].Data); err != nil || got.GetType() != row.want || row.reason != "" && got.GetAttributes()[event.AttributeReason] != row.reason {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// Two failures of one person reach the sender twice, if a correction is between them.
func TestTheSenderHearsOfEachFailure(t *testing.T) {
	t.Parallel()
	document := &pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{cyd}, Sender: pack.Sender{Email: "pat@acme.example"}}
	correction := about(event.RecipientCorrected, "doc", "cyd", signingv1.Verification_VERIFICATION_INTERNAL)
	correction.OccurredAt, correction.Attributes = timestamppb.Now(), map[string]string{event.AttributeScope: event.OwnMessages}
	id := func(past ...*signingv1.SigningEvent) string {
		return plan(us, toSender(lost(0, "cyd")), document, pastOf(past)).Made[0].GetId()
	}
	first, second, again := id(), id(correction), id(correction)
	if first != id() || first == second || second != again {
		t.Errorf("the ids of the sender's messages: %s, %s and %s", first, second, again)
	}
}
