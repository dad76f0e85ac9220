package keeper

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/archive"
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

// archive gives the keeper a folder with files, and returns a function that lists them.
func (h *harness) archive(keys ...string) (left func() []string) {
	h.t.Helper()
	folder := h.t.TempDir()
	for _, key := range keys {
		path := filepath.Join(folder, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("%PDF-"), 0o600)); err != nil {
			h.t.Fatal(err)
		}
	}
	store, err := archive.Open(h.t.Context(), "file://"+filepath.ToSlash(folder))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = store.Close() })
	h.keeper.eraser.Archive = store
	return func() []string {
		all, err := store.Keys(h.t.Context(), "")
		if err != nil {
			h.t.Fatal(err)
		}
		return all
	}
}

// has returns the number of events of a document.
func (h *harness) has(document string) int {
	return h.Count(flow.Signing, event.FilterOfToken(event.DocumentToken(document)))
}

// A document is erased when its source's period is over, and only then: not a held one, and not one of another source. Events without a
// document are erased by their own age. Archived files go with their document. What comes in about an erased document later is erased, too, and held documents get copies of their new
// events.
func TestTheKeeperEnforcesPeriodsAndHolds(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, document := range []string{"expires", "held", ""} {
		h.publish("acme", document, event.RecipientSent)
	}
	h.publish("other", "stays", event.RecipientSent)
	files := h.archive("acme/clickwrap/expires/signed-1.pdf", "acme/clickwrap/held/signed-1.pdf", "other/clickwrap/stays/signed-1.pdf")
	held := erase.Document{Source: "acme", Provider: "clickwrap", Token: "held"}
	if _, err := erase.Hold(t.Context(), h.Env.JS, held, erase.Order{By: "ops", Reason: "case 7"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.ahead = 29 * 24 * time.Hour
	h.once()
	if n := h.has("expires"); n != 1 || len(files()) != 3 {
		t.Fatalf("after 29 days: %d events, files %v", n, files())
	}
	h.ahead = 31 * 24 * time.Hour
	h.publish("acme", "held", event.RecipientSigned)
	h.once()
	for document, want := range map[string]int{"expires": 0, "": 0, "held": 3, "stays": 1} {
		if n := h.has(document); n != want {
			t.Errorf("after 31 days, %q: %d events, want %d", document, n, want)
		}
	}
	if left := files(); !slices.Equal(left, []string{"acme/clickwrap/held/signed-1.pdf", "other/clickwrap/stays/signed-1.pdf"}) {
		t.Errorf("after 31 days the archive has %v", left)
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
