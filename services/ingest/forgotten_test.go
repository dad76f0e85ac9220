package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
)

// forget removes all keys of Redis except for the epoch, as their expiry would. It also ends the stream's duplicate window.
func (h *harness) forget(t *testing.T) {
	t.Helper()
	client := realtest.RedisClient(t, h.redis.URL)
	for _, key := range h.claims(t) {
		if err := client.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	h.closeDuplicateWindow(t)
}

// If the dedupe store has lost an event's id, the log is searched for it: with and without a document, in a batch, by its own time, by
// an unusable time, and on a subject with other events.
func TestEventsThatTheDedupeStoreLostAreSearchedInTheLog(t *testing.T) {
	t.Parallel()
	const signer = `{"timestamp":%q,"name":"status","value":"40","resource_uri":"/api/v1/signer/%s/"}`
	ago := func(d time.Duration) string { return time.Now().UTC().Add(-d).Format("2006-01-02T15:04:05") }
	const day = 24 * time.Hour
	old, unusable := ago(16*day), "2090-01-01T00:00:00"
	for name, c := range map[string]struct {
		path, body string
		before     []string // callbacks that come before it
	}{
		"a document, old":                         {clickwrapOf, `{"event_type":"request_complete","id":"1","request":"R","created_time":"` + old + `"}`, nil},
		"a document, in the future":               {clickwrapOf, `{"event_type":"request_complete","id":"1","request":"R","created_time":"` + unusable + `"}`, nil},
		"a document without a time":               {v1SignedPath, v1Signed, nil},
		"a signer among others":                   {clickwrapOf, `{"event_type":"request_signed","id":"2","request":"R","signer":"b","activity":"2","created_time":"` + old + `"}`, []string{`{"event_type":"request_signed","id":"1","request":"R","signer":"a","activity":"1","created_time":"` + old + `"}`}},
		"no document, old":                        {clickwrapOf, `{"event_type":"version_published","id":"1","created_time":"` + old + `"}`, nil},
		"no document, in the future":              {clickwrapOf, `{"event_type":"version_published","id":"1","created_time":"` + unusable + `"}`, nil},
		"no document, without a time":             {clickwrapOf, `{"event_type":"version_published","id":"1"}`, nil},
		"no document, as old as the dedupe store": {clickwrapOf, `{"event_type":"version_published","id":"1","created_time":"` + ago(4*day) + `"}`, nil},
		"a batch of signers and one document":     {v1AllPath, "data=[" + fmt.Sprintf(signer+","+signer, old, "s1", old, "s2") + `,{"timestamp":"` + old + `","name":"status","value":"30","resource_uri":"/api/v1/document/D/"}]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			for _, body := range c.before {
				h.calls(t, call{c.path, body, 202})
			}
			h.calls(t, call{c.path, c.body, 202})
			before := h.count(t, flow.Signing)
			h.forget(t)
			h.calls(t, call{c.path, c.body, 200}, call{c.path, c.body, 200})
			if n := h.count(t, flow.Signing); n != before {
				t.Errorf("the log holds %d events, and held %d", n, before)
			}
			h.calls(t, call{clickwrapOf, `{"event_type":"request_signed","id":"9","request":"R","signer":"z","activity":"9","created_time":"` + old + `"}`, 202}) // the control: it is new
		})
	}
}

// An event that is older than the log is marked if the log has deleted events, and only then: a new log has every event that it stored.
func TestEventsOlderThanTheLogAreMarked(t *testing.T) {
	t.Parallel()
	h := open(t)
	sent := func(document string, age time.Duration) string {
		at := time.Now().UTC().Add(-age).Format(time.RFC3339)
		return `{"event_type":"request_sent","id":"` + document + `","activity":"` + document + `","request":"` + document + `","created_time":"` + at + `"}`
	}
	const day = 24 * time.Hour
	h.calls(t, call{clickwrapOf, sent("first", 100*day), 202})
	log, err := h.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if h.stored(t, "signing.v1.>")[0].GetAttributes()[pack.OlderThanLog] != "" {
		t.Error("marked although the log has deleted nothing")
	}
	if err := log.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.forget(t)
	for document, row := range map[string]struct {
		age    time.Duration
		marked string
	}{"first": {100 * day, "true"}, "at-the-limit": {89*day + time.Minute, "true"}, "young": {88 * day, ""}, "new": {0, ""}} {
		h.calls(t, call{clickwrapOf, sent(document, row.age), 202})
		stored := h.stored(t, "signing.v1.*.*.document.sent."+document)
		if len(stored) != 1 || stored[0].GetAttributes()[pack.OlderThanLog] != row.marked {
			t.Errorf("%s: %v", document, stored)
		}
	}
}

// The dedupe store confirms an unreadable callback that the quarantine has lost.
func TestCallbacksThatTheQuarantineLostAreStoredAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	const unreadable = `{"event_type":"request_sent"`
	h.warm(t)
	found, err := h.js.Stream(t.Context(), flow.Quarantine)
	if err != nil {
		t.Fatal(err)
	}
	config := found.CachedInfo().Config
	config.Duplicates = 100 * time.Millisecond // the shortest that the server accepts
	if _, err := h.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	h.calls(t, call{clickwrapOf, unreadable, 202}, call{clickwrapOf, unreadable, 202})
	if n := h.count(t, flow.Quarantine); n != 1 {
		t.Fatalf("the quarantine holds it %d times", n)
	}
	if err := found.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	// While the stream refuses the id as a duplicate but does not hold it, the response does not say that the callback is stored.
	h.until(t, "it is stored again", func() bool { return h.post(t, clickwrapOf, unreadable).status == 202 })
	h.calls(t, call{clickwrapOf, unreadable, 202})
	if n := h.count(t, flow.Quarantine); n != 1 {
		t.Errorf("the quarantine holds it %d times", n)
	}
	families, err := h.registry(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "signrelay_ingest_missing_total" && f.GetMetric()[0].GetCounter().GetValue() < 1 {
			t.Error("it was not counted")
		}
	}
}
