package keeper

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// harness is a keeper of two sources: acme erases documents after 30 days, other keeps them.
type harness struct {
	*servicetest.Bench
	t      *testing.T
	keeper *keeper
	ahead  time.Duration
}

func start(t *testing.T) *harness {
	t.Helper()
	sources := []config.Source{{Name: "acme", Provider: "clickwrap", Retention: 30 * 24 * time.Hour}, {Name: "other", Provider: "clickwrap"}}
	h := &harness{Bench: servicetest.New(t, config.Config{Sources: sources}), t: t}
	h.Env.Now = func() time.Time { return time.Now().Add(h.ahead) }
	var err error
	if h.keeper, err = open(h.Env); err != nil {
		t.Fatal(err)
	}
	h.keeper.eraser.Known = 0
	return h
}

func (h *harness) publish(source, document, typ string) {
	h.t.Helper()
	e := &signingv1.SigningEvent{
		Source: source, Provider: "clickwrap", Type: typ, OccurredAt: timestamppb.Now(), Verification: signingv1.Verification_VERIFICATION_HMAC,
		Recipient: &signingv1.Recipient{Id: "r", Email: "jo@example.com"},
	}
	if document != "" {
		e.Document = &signingv1.Document{Id: document}
	}
	e.Id = event.OccurrenceID(e, document, typ)
	h.Publish(event.Message(h.t.Context(), e))
}

func (h *harness) once() {
	h.t.Helper()
	if err := h.keeper.once(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// has returns the number of events of a document.
func (h *harness) has(document string) int {
	return h.Count(flow.Signing, event.FilterOfToken(event.DocumentToken(document)))
}

// A document is erased when its source's period is over, and only then: not a held one, and not one of another source. Events without a
// document are erased by their own age. What comes in about an erased document later is erased, too, and held documents get copies of their new
// events.
func TestTheKeeperEnforcesPeriodsAndHolds(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, document := range []string{"expires", "held", ""} {
		h.publish("acme", document, event.RecipientSent)
	}
	h.publish("other", "stays", event.RecipientSent)
	held := erase.Document{Source: "acme", Provider: "clickwrap", Token: "held"}
	if _, err := erase.Hold(t.Context(), h.Env.JS, held, erase.Order{By: "ops", Reason: "case 7"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.ahead = 29 * 24 * time.Hour
	h.once()
	if n := h.has("expires"); n != 1 {
		t.Fatalf("after 29 days: %d events", n)
	}
	h.ahead = 31 * 24 * time.Hour
	h.publish("acme", "held", event.RecipientSigned)
	h.once()
	for document, want := range map[string]int{"expires": 0, "": 0, "held": 3, "stays": 1} {
		if n := h.has(document); n != want {
			t.Errorf("after 31 days, %q: %d events, want %d", document, n, want)
		}
	}
	if n := h.Count(flow.Hold, flow.HeldOf("acme", "clickwrap", "held")); n != 3 {
		t.Errorf("%d copies of the held document", n)
	}
	reports := h.Count(flow.Signing, event.TypeFilter(event.DocumentErased))
	h.publish("acme", "expires", event.LinkOpened)
	h.once()
	if n := h.has("expires"); n != 0 {
		t.Errorf("a late event: %d", n)
	}
	if n := h.Count(flow.Signing, event.TypeFilter(event.DocumentErased)); n != reports+1 {
		t.Errorf("%d reports, before the late event %d", n, reports)
	}
	h.once()
	if n := h.Count(flow.Signing, event.TypeFilter(event.DocumentErased)); n != reports+1 {
		t.Errorf("a run without work reported: %d", n)
	}
	h.NeverLogged("expires", "jo@example.com")
}
