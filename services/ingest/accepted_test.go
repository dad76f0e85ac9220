package ingest_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
)

// A service that may write one kind of event could use the id of a future event: the stream then treats the callback's event as a duplicate,
// and does not store it. The callback gets no 2xx before the log holds its event.
func TestATakenIDLosesNoEvent(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Format(time.RFC3339)
	for name, body := range map[string]string{
		"a document":  `{"event_type":"request_complete","id":"1","request":"R","created_time":"` + now + `"}`,
		"no document": `{"event_type":"version_published","id":"1","created_time":"` + now + `"}`,
		"no time":     `{"event_type":"version_published","id":"1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.warm(t)
			id := h.idOf(t, body)
			taker := &nats.Msg{Subject: "signing.v1.acme.clickwrap.link.opened.x", Header: nats.Header{"Nats-Msg-Id": {id}}}
			if _, err := h.js.PublishMsg(t.Context(), taker); err != nil {
				t.Fatal(err)
			}
			before := h.count(t, flow.Signing)
			h.calls(t, call{clickwrapOf, body, 503}, call{clickwrapOf, body, 503})
			h.closeDuplicateWindow(t)
			for range 2 { // it is stored now, or was stored just before: both are 2xx
				if got := h.post(t, clickwrapOf, body); got.status >= 300 {
					t.Fatalf("%d %v", got.status, got.body)
				}
			}
			if n := h.count(t, flow.Signing); n != before+1 {
				t.Errorf("the log holds %d events, and held %d", n, before)
			}
		})
	}
}
