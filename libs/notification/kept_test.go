package notification

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// What the dedupe store keeps of a sent message makes the same event again, in at most 48 bytes. Redis adds 28 of encryption and about 110
// of its own: together less than 200.
func TestTheEventOfASentMessageIsMadeAgain(t *testing.T) {
	t.Parallel()
	d := delivery{stage: "sms-sender"}
	in := stage.Event[*notifyv1.Notification]{Data: &notifyv1.Notification{
		Id: "0123456789abcdefghijklmnop", EventId: "e", Source: "acme", Provider: "clickwrap", DocumentId: "d-1",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_SMS, To: &notifyv1.Person{RecipientId: "r-1"},
	}}
	at := time.Date(2026, 11, 28, 16, 0, 0, 123456789, time.UTC)
	for name, r := range map[string]Receipt{
		"a UUID":               {Reference: "0a0b0c0d-1234-4abc-8def-0123456789ab", Parts: 2},
		"a UUID in capitals":   {Reference: "0A0B0C0D-1234-4ABC-8DEF-0123456789AB", Parts: 1},
		"Vonage's id":          {Reference: "140000012BD37332", Parts: 153},
		"a queue id":           {Reference: "4bQ7cZ0x2Hz9vD", Parts: 1, PossibleDuplicate: true},
		"no id and no parts":   {},
		"an id with all bytes": {Reference: "\x01-|\u00ff", Parts: 1},
	} {
		sent, err := outs(t.Context(), Sent(in.Data, d.stage, at, r))
		if err != nil {
			t.Fatal(err)
		}
		kept := d.keep(sent)
		if kept == nil || len(kept) > 47 {
			t.Errorf("%s: %d bytes", name, len(kept))
		}
		again, err := d.rebuild(t.Context(), in, kept)
		if err != nil || len(again) != 1 || again[0].Subject != sent[0].Subject || !bytes.Equal(again[0].Data, sent[0].Data) ||
			!maps.EqualFunc(again[0].Header, sent[0].Header, slices.Equal) {
			t.Errorf("%s: made %v of %v, %v", name, again, sent, err)
		}
		for n := range min(len(kept), 10) {
			if _, err := d.rebuild(t.Context(), in, kept[:n]); err == nil {
				t.Errorf("%s: %d bytes of it are accepted", name, n)
			}
		}
	}
	refused := Receipt{Reference: "x", Parts: 2, Reason: "refused", Fault: outcome.Provider, PartsRefused: "2"}
	partly, err := outs(t.Context(), Sent(in.Data, d.stage, at, refused))
	if err != nil {
		t.Fatal(err)
	}
	undelivered, err := outs(t.Context(), Undelivered(in.Data, d.stage, at, refused))
	if err != nil {
		t.Fatal(err)
	}
	for name, all := range map[string][]stage.Out{"nothing": nil, "refused parts": partly, "two events": append(partly, undelivered...)} {
		if kept := d.keep(all); kept != nil {
			t.Errorf("%s: kept as %q", name, kept)
		}
	}
	if _, err := d.rebuild(t.Context(), in, []byte(strings.Repeat("\xff", 20))); err == nil {
		t.Error("damaged data is accepted")
	}
}

// Of the text, the dedupe store has only a hash. The event that is made again has the text if it is composed in the same way, and otherwise none.
func TestASentTextIsComposedAgain(t *testing.T) {
	t.Parallel()
	now := Composed{Text: "Please sign: https://s.example/l/AbCdEfGhIjKlMn", Subject: "Ms Example", Template: "en/invitation.sms@0123456789abcdef"}
	composed := now
	d := delivery{stage: "sms-sender", Sender: Sender{Compose: func(*notifyv1.Notification) (Composed, error) { return now, nil }}}
	in := stage.Event[*notifyv1.Notification]{Data: &notifyv1.Notification{
		Id: "0123456789abcdefghijklmnop", Source: "acme", Provider: "clickwrap", Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_SMS,
		Link: &notifyv1.Link{Short: "https://s.example/l/AbCdEfGhIjKlMn"}, KeepText: true,
	}}
	at := time.Date(2026, 11, 28, 16, 0, 0, 123456789, time.UTC)
	r := Receipt{Reference: "0a0b0c0d-1234-4abc-8def-0123456789ab", Parts: 2, Expected: true, Price: "0.06660000", Composed: composed}
	for _, keep := range []bool{true, false} {
		in.Data.KeepText = keep
		now = composed
		sent, err := outs(t.Context(), Sent(in.Data, d.stage, at, r))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sent[0].Data, []byte("AbCdEfGhIjKlMn")) || bytes.Contains(sent[0].Data, []byte("https://s.example/l/…")) != keep {
			t.Errorf("the event has %q", sent[0].Data)
		}
		kept := d.keep(sent)
		if kept == nil || len(kept) > 60 || bytes.Contains(kept, []byte("Ms")) {
			t.Errorf("%d bytes: %q", len(kept), kept)
		}
		again, err := d.rebuild(t.Context(), in, kept)
		if err != nil || !bytes.Equal(again[0].Data, sent[0].Data) {
			t.Errorf("made %v of %v, %v", again, sent, err)
		}
		for n := range 22 {
			if _, err := d.rebuild(t.Context(), in, kept[:n]); err == nil {
				t.Errorf("%d bytes of it are accepted", n)
			}
		}
		now.Text, now.Template = "Other words", "en/invitation.sms@fedcba9876543210"
		again, err = d.rebuild(t.Context(), in, kept)
		if err != nil || bytes.Contains(again[0].Data, []byte("words")) || bytes.Contains(again[0].Data, []byte("@")) || !bytes.Contains(again[0].Data, []byte("0.06660000")) {
			t.Errorf("with another template: %q, %v", again[0].Data, err)
		}
	}
}
