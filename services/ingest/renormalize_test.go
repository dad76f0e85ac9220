package ingest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// rewrite replaces the first event of a subject in the log, as if an older build had stored it; nil removes it.
func (h *harness) rewrite(t *testing.T, subject string, change func(*signingv1.SigningEvent) *signingv1.SigningEvent) {
	t.Helper()
	for m, err := range (event.Log{JS: h.js, Stream: flow.Signing}).Messages(t.Context(), subject, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := h.js.Stream(t.Context(), flow.Signing)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteMsg(t.Context(), m.Sequence); err != nil {
			t.Fatal(err)
		}
		if e = change(e); e == nil {
			return
		}
		msg, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := h.js.PublishMsg(t.Context(), msg); err != nil || ack.Duplicate {
			t.Fatalf("%v, %v", ack, err)
		}
		return
	}
	t.Fatalf("the log has no %s", subject)
}

// differences compares all callbacks of the log.
func (h *harness) differences(t *testing.T, again *ingest.Renormalizer) (found []string, carriers []event.Stored) {
	t.Helper()
	for carrier, err := range again.Kept(t.Context(), "", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		all, err := again.Compare(t.Context(), carrier)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			text := d.Kind
			if d.Event != nil {
				text += " " + d.Event.GetType() + " " + d.Event.GetDocument().GetId() + d.Event.GetRecipient().GetId()
			}
			if d.Kind == ingest.OtherType {
				text += " was " + d.Known.GetType()
			}
			found = append(found, strings.TrimSpace(text+" "+strings.Join(d.Fields, " ")+d.Reason))
		}
		carriers = append(carriers, carrier)
	}
	slices.Sort(found)
	return found, carriers
}

// On a log of an older build, today's reading finds exactly the seeded differences: an event that it did not make, a type that it did not know, a
// field that it did not read. Publish stores what is new, once, and leaves the known events as they are.
func TestRenormalizeFindsExactlyTheSeededDifferences(t *testing.T) {
	t.Parallel()
	h := open(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for name, got := range map[string]reply{
		"declined": h.plain(t, declined),
		"opened":   h.plain(t, `{"id":"o1","event":"recipient.opened","document_id":"D2","recipient_id":"R2","opened_date":1531228693,"method":"user"}`),
		"created":  h.plain(t, `{"id":"c1","event":"document.created","document_id":"D3","processed_date":1531228693}`),
		"secret":   h.plain(t, `{"id":"c2","event":"document.created","document_id":"D4","processed_date":1531228693,"x":"test"}`),
		"batch":    h.all(t, "["+signed("a")+","+signed("b")+","+signed("c")+"]"),
		"signed":   h.send(t, "POST", "/webhooks/esign-v1/old/signed?token=demo", form, strings.NewReader("uuid=D5&name=Lease&tag=t")),
		"sent":     h.post(t, "/webhooks/clickwrap/acme", requestSent),
	} {
		if got.status != 202 {
			t.Fatalf("%s: %d %v", name, got.status, got.body)
		}
	}
	h.closeDuplicateWindow(t)
	if err := h.client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	again, err := ingest.NewRenormalizer(t.Context(), h.env, providers.All)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	const skipped = "skipped a secret of the source was removed from it"
	if found, _ := h.differences(t, again); cmp.Diff([]string{skipped}, found) != "" {
		t.Fatalf("the control: %v", found)
	}

	h.rewrite(t, "signing.v1.plain.pleasesign.recipient.declined.D1", func(*signingv1.SigningEvent) *signingv1.SigningEvent { return nil })
	h.rewrite(t, "signing.v1.plain.pleasesign.recipient.opened.D2", func(e *signingv1.SigningEvent) *signingv1.SigningEvent {
		e.Type = event.OtherRecorded
		e.Id = event.OccurrenceOf(e, e.GetProviderType(), e.GetProviderEventId())
		return e
	})
	h.rewrite(t, "signing.v1.old.esign-v1.document.completed.D5", func(e *signingv1.SigningEvent) *signingv1.SigningEvent {
		e.Document.Title = ""
		e.Attributes["tag"] = "T"
		return e
	})
	second := 0
	h.rewrite(t, "signing.v1.old.esign-v1.recipient.signed._", func(e *signingv1.SigningEvent) *signingv1.SigningEvent { return e }) // the carrier is now the last
	h.rewrite(t, "signing.v1.old.esign-v1.recipient.signed._", func(*signingv1.SigningEvent) *signingv1.SigningEvent { second++; return nil })

	want := []string{
		"field document.updated D5 attributes.tag document.title",
		"missing recipient.declined D1R1",
		"missing recipient.signed b",
		skipped,
		"type recipient.opened D2R2 was other.recorded",
	}
	found, carriers := h.differences(t, again)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Fatal(diff)
	}
	before := h.count(t, flow.Signing)
	if again, _ := h.differences(t, again); cmp.Diff(want, again) != "" || h.count(t, flow.Signing) != before {
		t.Error("comparing changed something")
	}

	published := 0
	for range 2 { // the second run has nothing to do
		for _, carrier := range carriers {
			ids, err := again.Publish(t.Context(), carrier)
			if err != nil {
				t.Fatal(err)
			}
			published += len(ids)
		}
	}
	if found, _ := h.differences(t, again); cmp.Diff([]string{skipped}, found) != "" || published != 4 {
		t.Errorf("%d published; afterwards %v", published, found)
	}
	const requests = 4 // replay.requested of each callback
	if n := h.count(t, flow.Signing); n != before+4+requests {
		t.Errorf("the log has %d events, want %d", n, before+4+requests)
	}
	for _, filter := range []string{"recipient.declined.D1", "recipient.opened.D2", "document.updated.D5", "recipient.signed._"} {
		events := h.stored(t, "signing.v1.*.*."+filter)
		e := events[len(events)-1]
		if e.GetCallback().GetId() == "" || event.Carries(e.GetCallback()) {
			t.Errorf("%s: %v", filter, e.GetCallback())
		}
		kept, err := (event.Log{JS: h.js, Stream: flow.Signing}).Callback(t.Context(), e, time.Now())
		if err != nil || !event.Carries(kept) {
			t.Errorf("%s: its callback is not found: %v", filter, err)
		}
	}
	requested := h.stored(t, "signing.v1.*.*.replay.requested.>")
	for _, e := range requested {
		if a := e.GetAttributes(); a["reason"] != "renormalized" || a["input"] == "" || a["events"] == "" {
			t.Errorf("%v", a)
		}
	}
	if len(requested) != requests {
		t.Error(fmt.Sprint(len(requested), " replay.requested"))
	}
}
