package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// carried returns the callbacks in the log that are whole, and checks that each event names one of them, or one of the known ids.
func (h *harness) carried(t *testing.T) []*signingv1.Callback {
	t.Helper()
	var whole []*signingv1.Callback
	ids := map[string]bool{}
	events := h.stored(t, "signing.v1.>")
	for _, e := range events {
		if c := e.GetCallback(); event.Carries(c) {
			whole = append(whole, c)
			ids[c.GetId()] = true
		}
	}
	for _, e := range events {
		if !ids[e.GetCallback().GetId()] {
			t.Errorf("%s names the callback %q, which no event carries", e.GetType(), e.GetCallback().GetId())
		}
	}
	return whole
}

const declined = `{"id":"v1","event":"document.void","document_id":"D1","recipient_id":"R1","void_date":1531228693,"note":"raw"}`

func (h *harness) plain(t *testing.T, body string) reply {
	t.Helper()
	return h.send(t, "POST", "/webhooks/pleasesign/plain", http.Header{
		"X-Pleasesign-Signature": {hmacOf("test", body)}, "Content-Type": {"application/json"}, "Cookie": {"a=1"},
	}, strings.NewReader(body))
}

// The first event of a callback carries it, byte for byte, with the headers of its signature and the name of the key. The second event names
// it. A repeated callback changes nothing in the log.
func TestTheFirstEventCarriesTheCallback(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *config.Config) { c.Sources[1] = c.Sources[1].With("webhook.secrets=other,test") })
	for range 2 {
		if got := h.plain(t, declined); got.status/100 != 2 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	h.closeDuplicateWindow(t)
	if err := h.client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := h.plain(t, declined); got.status != 200 {
		t.Errorf("when its claims have lapsed: %d %v", got.status, got.body)
	}
	events := h.stored(t, "signing.v1.plain.>")
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	first := events[0].GetCallback()
	want := &signingv1.Callback{
		Id: first.GetId(), Key: "webhook.secrets[1]", KeyFingerprint: first.GetKeyFingerprint(), Method: "POST", Path: "/webhooks/pleasesign/plain",
		Headers: []*signingv1.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Pleasesign-Signature", Value: hmacOf("test", declined)}},
		Body:    []byte(declined),
	}
	if diff := cmp.Diff(want, first, protocmp.Transform()); diff != "" || !strings.HasPrefix(first.GetKeyFingerprint(), "sha256:") {
		t.Error(diff)
	}
	if diff := cmp.Diff(&signingv1.Callback{Id: first.GetId()}, events[1].GetCallback(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	h.carried(t)
}

// The first stored event of a batch carries it once, the others name their items. A later batch with known items is carried by its first new one.
func TestABatchIsCarriedOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	one, two := "["+signed("a")+","+signed("b")+"]", "["+signed("a")+","+signed("c")+","+noResource+","+signed("d")+"]"
	for _, data := range []string{one, two, one} {
		if got := h.all(t, data); got.status/100 != 2 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	var items []string
	for _, e := range h.stored(t, "signing.v1.>") {
		c := e.GetCallback()
		items = append(items, fmt.Sprint(e.GetRecipient().GetId(), " ", c.GetItem(), " ", event.Carries(c), " ", c.Item != nil))
	}
	if diff := cmp.Diff([]string{"a 0 true true", "b 1 false true", "c 1 true true", "d 3 false true"}, items); diff != "" {
		t.Error(diff)
	}
	whole := h.carried(t)
	if len(whole) != 2 || string(whole[1].GetBody()) != "data="+url.QueryEscape(two)+"&" || whole[1].GetQuery() != "" || whole[1].GetKey() != "webhook.token[0]" || whole[1].GetKeyFingerprint() != "" {
		t.Errorf("%v", whole)
	}
	kept := h.quarantined(t)
	if len(kept) != 1 || kept[0].Header.Get(ingest.HeaderCallback) != whole[1].GetId() {
		t.Fatalf("the quarantined item names %v", kept)
	}

	// The event of a repaired item names the batch, too.
	repaired := signed("e")
	if _, err := ingest.Replay(t.Context(), h.env, kept[0].Header, kept[0].Data, body(repaired)); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.stored(t, "signing.v1.>") {
		if e.GetRecipient().GetId() == "e" && !proto.Equal(e.GetCallback(), &signingv1.Callback{Id: whole[1].GetId(), Item: proto.Uint32(2)}) {
			t.Errorf("%v", e.GetCallback())
		}
	}
	h.carried(t)
}

// A replayed callback is kept as the provider sent it, with the key that verified it then.
func TestAReplayedCallbackIsKept(t *testing.T) {
	t.Parallel()
	h := open(t)
	const unread = `{"id":"u1","event":"document.created"`
	if got := h.plain(t, unread); got.body["status"] != "quarantined" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	kept := h.quarantined(t)[0]
	if _, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, body(unread+`,"document_id":"D"}`)); err != nil {
		t.Fatal(err)
	}
	whole := h.carried(t)
	if len(whole) != 1 || string(whole[0].GetBody()) != unread || whole[0].GetKey() != "webhook.secrets[0]" || whole[0].GetHeaders()[1].GetValue() != hmacOf("test", unread) {
		t.Errorf("%v", whole)
	}
}

// A GET has its fields in the query. A callback that adds to a known fact is carried by the addition. A source without the setting keeps nothing.
func TestWhichCallbacksAreKept(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *config.Config) { c.Sources[1].Keep = []string{} })
	token := http.Header{"Pactsafe-Webhook-Token": {"12345"}}
	const query = "event_type=request_signed&id=s1&request=R&signer=S&activity=A"
	for _, path := range []string{"?" + query, "?" + query + "&tag=blue"} {
		if got := h.send(t, "GET", "/webhooks/clickwrap/acme"+path, token, nil); got.status != 202 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	if got := h.plain(t, declined); got.status != 202 {
		t.Fatalf("%d %v", got.status, got.body)
	}
	for _, e := range h.stored(t, "signing.v1.plain.>") {
		if e.GetCallback() != nil {
			t.Errorf("kept in spite of the setting: %v", e.GetCallback())
		}
	}
	events := h.stored(t, "signing.v1.acme.>")
	if len(events) != 2 || events[1].GetType() != event.DocumentUpdated {
		t.Fatalf("%v", events)
	}
	for i, want := range []string{query, query + "&tag=blue"} {
		if c := events[i].GetCallback(); c.GetQuery() != want || c.GetMethod() != "GET" || len(c.GetHeaders()) > 0 || c.GetKey() != "webhook.secrets[0]" || c.GetRedacted() {
			t.Errorf("%v", c)
		}
	}
}

// A callback whose event would be too large for the broker with it is not kept. Its event is stored, because it matters more. The test's broker
// accepts 1 MiB.
func TestALargeCallbackIsKeptIfItFits(t *testing.T) {
	t.Parallel()
	h := open(t)
	for size, want := range map[int]bool{400_000: true, 600_000: false} {
		id := fmt.Sprint("D", size)
		body := `{"id":"` + id + `","event":"document.created","document_id":"` + id + `","processed_date":1531228693,"note":"` + strings.Repeat("n", size) + `"}`
		if got := h.plain(t, body); got.status != 202 {
			t.Fatalf("%d %v", got.status, got.body)
		}
		e := h.stored(t, event.DocumentFilter(id))
		if len(e) != 1 || event.Carries(e[0].GetCallback()) != want || e[0].GetCallback().GetId() == "" {
			t.Errorf("%d bytes: %d events", size, len(e))
		}
	}
}

// A batch that names an erased document brings no event of it, and is not kept: its bytes have the erased document's id. The other event is stored.
func TestABatchWithAnErasedDocumentIsNotKept(t *testing.T) {
	t.Parallel()
	item := func(document string) string {
		return `{"timestamp":"2018-03-20T07:09:52","name":"status","value":"30","resource_uri":"/api/v1/document/` + document + `/"}`
	}
	h := openWith(t, func(ctx context.Context, env service.Env) error {
		old := &signingv1.SigningEvent{Source: "old", Provider: "esign-v1", Type: event.DocumentSent, Document: &signingv1.Document{Id: "gone"}}
		old.Id = event.OccurrenceID(old, "gone")
		m, err := event.Message(ctx, old)
		if err == nil {
			_, err = env.JS.PublishMsg(ctx, m)
		}
		e := erase.Eraser{JS: env.JS, Ring: keyring.New(env.Config.MasterKeys())}
		target := erase.Target{IDs: []string{"gone"}}
		found, lost := e.Find(ctx, target)
		if err := errors.Join(err, lost); err != nil {
			return err
		}
		if _, err := e.Run(ctx, target, found, erase.Order{By: "ops", Reason: "request 12"}, time.Now()); err != nil {
			return err
		}
		return ingest.Run(ctx, env)
	})
	for _, batch := range []string{item("a") + "," + item("b"), item("c") + "," + item("gone")} {
		if got := h.all(t, "["+batch+"]"); got.status != http.StatusAccepted {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	kept := map[string]bool{}
	for _, e := range h.stored(t, "signing.v1.old.esign-v1.>") {
		if e.GetType() != event.DocumentErased {
			kept[e.GetDocument().GetId()] = event.Carries(e.GetCallback())
		}
	}
	if want := map[string]bool{"a": true, "b": false, "c": false}; !maps.Equal(kept, want) {
		t.Errorf("events, and which of them carry their callback: %v, want %v", kept, want)
	}
}
