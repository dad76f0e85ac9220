package security

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/event"
)

// sevenTokens matches every subject of an event.
var sevenTokens = regexp.MustCompile(`^signing\.v1\.[a-z0-9-]+\.[a-z0-9-]+\.[a-z-]+\.[a-z-]+\.[A-Za-z0-9_-]{1,171}$`)

// noID matches text that names no document: it has no letter, digit or symbol.
var noID = regexp.MustCompile(`^[^\pL\pN\pS]*$`)

// For any characters in a document's id, the log holds its event with the original id, under one legal subject that no other document
// has. An event with a text that names no document is stored without a document.
func strangeIDs(t *testing.T, s *stand) {
	const source = "ids"
	visit := func(id string) callback {
		body, err := json.Marshal(map[string]string{"event_type": "activity_visited", "request": id, "id": "e-" + id})
		if err != nil {
			panic(err)
		}
		return clickwrap(source, string(body))
	}
	s.accepts(t, "an untouched document", visit("ids-quiet"))
	sent := map[string]bool{"ids-quiet": true}
	taken := func(id string) bool {
		if sent[id] {
			return true
		}
		sent[id] = true
		return s.send(t, visit(id)).status == http.StatusAccepted
	}
	for _, id := range []string{
		"*", ">", "*.>", "ids-quiet.*", "ids-quiet.>", ".ids-quiet", "ids-quiet.", "a.b.c.d", "..", "$JS.API.>", "$SYS.>", "_INBOX.x", "_",
		" ids-quiet", "ids-quiet ", "ids\tquiet", "ids-quiet\r\n", "ids-quiet\r\nPUB x 1", "ids-quiet\x00", "\u2028", "\u202e", "é", "日本", "🖋", "\ufeffids-quiet",
		"../../document/x", "%2e%2e%2f", "http://evil.example/", "';--", "{{.Link}}", "ids-quiet\nNats-Expected-Last-Sequence: 0",
		strings.Repeat("*", 128), strings.Repeat("a", 129), strings.Repeat("é", 400), strings.Repeat(".", 20_000),
	} {
		if !taken(id) {
			t.Errorf("the id %.40q was not accepted", id)
		}
	}
	if t.Failed() { // rapid must not start after a failure
		return
	}
	runes := rapid.SampledFrom([]rune("*>. \t\r\n\x00_$-aA0/\\%é\u202e\U0001f58b"))
	rapid.Check(t, func(rt *rapid.T) {
		if id := rapid.OneOf(rapid.StringN(1, 40, 200), rapid.StringOfN(runes, 1, 40, -1)).Draw(rt, "id"); !taken(id) {
			rt.Fatalf("the id %q was not accepted", id)
		}
	})

	found := map[string]string{} // the document, by the provider's id of the event
	subjects := map[string]string{}
	s.each(t, "SIGNING", "signing.v1."+source+".>", func(m *jetstream.RawStreamMsg) {
		if !sevenTokens.MatchString(m.Subject) {
			t.Errorf("the subject %q", m.Subject)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		id := e.GetDocument().GetId()
		found[e.GetProviderEventId()] = id
		token := event.DocumentToken(id) // an id that is not a legal token shares the token of the id that spells its base64url
		if other, taken := subjects[m.Subject]; taken && id != other && id != token && other != token {
			t.Errorf("%q and %q have one subject", other, id)
		}
		subjects[m.Subject] = id
		for name, values := range m.Header {
			if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") || len(values) != 1 {
				t.Errorf("the header %s of %q: %q", name, id, values)
			}
		}
		if visit := m.Header.Get("Ce-Subject") + m.Header.Get("ce-subject"); len(id) <= 128 && id != "" && event.Public(id) == id {
			if decoded, err := url.PathUnescape(visit); err != nil || decoded != id {
				t.Errorf("ce-subject %q of %q: %v", visit, id, err)
			}
		}
	})
	for id := range sent {
		want := id
		if noID.MatchString(id) {
			want = ""
		}
		if document, stored := found["e-"+id]; !stored || document != want {
			t.Errorf("the event of %q is in the log: %v, of the document %q", id, stored, document)
		}
	}
	if n := s.stored(t, event.DocumentFilter("ids-quiet")); n != 1 {
		t.Errorf("the untouched document's timeline has %d events", n)
	}
}
