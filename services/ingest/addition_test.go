package ingest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// call is one callback and its expected response.
type call struct {
	path, body string
	want       int
}

func (h *harness) calls(t *testing.T, calls ...call) {
	t.Helper()
	for i, c := range calls {
		header := http.Header{"Pactsafe-Webhook-Token": {"12345"}}
		method := http.MethodPost
		switch {
		case strings.HasPrefix(c.path, "/webhooks/esign-v1/"):
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		case strings.HasPrefix(c.path, "/webhooks/pleasesign/"):
			header = signedByPleaseSign(t, c.body)
		case c.body == "":
			method = http.MethodGet
		}
		if got := h.send(t, method, c.path, header, strings.NewReader(c.body)); got.status != c.want {
			t.Fatalf("call %d: %d %v, want %d", i, got.status, got.body, c.want)
		}
	}
}

// storesEach makes calls, and each once more as the provider's retry: the log holds one event of each.
func (h *harness) storesEach(t *testing.T, calls []call) {
	t.Helper()
	h.calls(t, calls...)
	for i := range calls {
		calls[i].want = 200
	}
	h.calls(t, calls...)
	if got := h.stored(t, "signing.v1.>"); len(got) != len(calls) {
		t.Errorf("the log holds %d events, want %d", len(got), len(calls))
	}
}

func signedByPleaseSign(t *testing.T, body string) http.Header {
	t.Helper()
	p, _ := providers.ByName("pleasesign")
	signed, err := p.Sign(p.Settings.New("plain").With("webhook.secrets=test"), nil, pack.Request{Header: http.Header{}, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Header
}

func v1All(timestamp string) string {
	return "data=" + url.QueryEscape(`[{"timestamp":"`+timestamp+`","name":"status","value":"30","resource_uri":"/api/v1/document/d1/"}]`)
}

const (
	v1AllPath    = "/webhooks/esign-v1/old/all?token=demo"
	v1SignedPath = "/webhooks/esign-v1/old/signed?token=demo"
	v1Signed     = "resource_uri=/api/v1/document/d1/&group=/api/v1/group/g/&name=Lease&uuid=d1&tag=customer-77"
	clickwrapOf  = "/webhooks/clickwrap/acme"
	complete     = `{"event_type":"request_complete","id":"1","request":"R","created_time":"2017-07-19T16:15:43.520Z",`
	pleaseSign   = "/webhooks/pleasesign/plain"
)

// The second report of a fact adds the fields that the first one lacks, as a separate event. A count of completions stays at one.
func TestASecondReportAddsNewFields(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		calls   []call
		updates int
		wanted  map[string]string // attribute and text, somewhere in the log
	}{
		"v1 all, then signed": {
			[]call{{v1AllPath, v1All("2018-03-20T07:09:52"), 202}, {v1SignedPath, v1Signed, 202}, {v1SignedPath, v1Signed, 200}, {v1AllPath, v1All("2018-03-20T07:09:52"), 200}},
			1, map[string]string{"tag": "customer-77", "timestamp": "2018-03-20T07:09:52"},
		},
		"v1 signed, then all": {
			[]call{{v1SignedPath, v1Signed, 202}, {v1AllPath, v1All("2018-03-20T07:09:52"), 202}, {v1AllPath, v1All("2018-03-20T07:09:52"), 200}, {v1SignedPath, v1Signed, 200}},
			1, map[string]string{"tag": "customer-77", "timestamp": "2018-03-20T07:09:52"},
		},
		"v1 signed again with another tag": {
			[]call{{v1SignedPath, v1Signed, 202}, {v1SignedPath, v1Signed + "8", 202}, {v1SignedPath, v1Signed + "8", 200}},
			1, map[string]string{"tag": "customer-778"},
		},
		"v1 all with another time": {
			[]call{{v1AllPath, v1All("2018-03-20T07:09:52"), 202}, {v1AllPath, v1All("2018-03-20T07:09:53"), 202}},
			1, map[string]string{"timestamp": "2018-03-20T07:09:53"},
		},
		"Clickwrap by GET, then by POST": {
			[]call{
				{clickwrapOf + "?event_type=request_complete&id=1&request=R&created_time=2017-07-19T16:15:43.520Z", "", 202},
				{clickwrapOf, complete + `"render_data":{"Amount":"$100.00"}}`, 202}, {clickwrapOf, complete + `"render_data":{"Amount":"$100.00"}}`, 200},
			},
			1, map[string]string{"render_data.Amount": "$100.00"},
		},
		"a retry differs only in the delivery's own fields": {
			[]call{
				{clickwrapOf, complete + `"deliverable":true,"updated_time":"2017-07-19T16:15:43.521Z","sent_to":"https://a"}`, 202},
				{clickwrapOf, complete + `"deliverable":false,"updated_time":"2017-07-19T17:15:43.521Z","sent_to":"https://b"}`, 200},
			},
			0, nil,
		},
		"PleaseSign with new links": {
			[]call{
				{pleaseSign, `{"id":"1","event":"document.complete","document_id":"D","complete_date":1531228693,"signed":"https://one.example"}`, 202},
				{pleaseSign, `{"id":"1","event":"document.complete","document_id":"D","complete_date":1531228693,"signed":"https://one.example"}`, 200},
				{pleaseSign, `{"id":"2","event":"document.complete","document_id":"D","complete_date":1531228693,"signed":"https://two.example"}`, 202},
			},
			1, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.calls(t, c.calls...)
			completed, updated := h.stored(t, "signing.v1.*.*.document.completed.>"), h.stored(t, "signing.v1.*.*.document.updated.>")
			if len(completed) != 1 || len(updated) != c.updates {
				t.Fatalf("%d completions and %d updates, want 1 and %d", len(completed), len(updated), c.updates)
			}
			for _, e := range updated {
				if e.GetAttributes()[pack.UpdatesAttribute] != completed[0].GetId() || e.GetDocument().GetId() != completed[0].GetDocument().GetId() {
					t.Errorf("an update of %v", e)
				}
			}
			for attribute, want := range c.wanted {
				found := false
				for _, e := range append(completed, updated...) {
					found = found || e.GetAttributes()[attribute] == want
				}
				if !found {
					t.Errorf("%s %s is stored nowhere", attribute, want)
				}
			}
		})
	}
}

// Without Redis, only the log knows the earlier events.
func TestASecondReportIsComparedWithoutRedis(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.calls(t, call{v1AllPath, v1All("2018-03-20T07:09:52"), 202})
	h.redis.Stop()
	h.calls(t, call{v1AllPath, v1All("2018-03-20T07:09:52"), 200}, call{v1SignedPath, v1Signed, 202}, call{v1SignedPath, v1Signed, 200})
	if updated := h.stored(t, "signing.v1.*.*.document.updated.>"); len(updated) != 1 || updated[0].GetDocument().GetTitle() != "Lease" {
		t.Errorf("updates: %v", updated)
	}
}

// The dedupe store confirms an event that the log lacks: NATS was restored from a backup, and Redis was not.
func TestEventsThatTheLogLostAreStoredAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	all, signed := v1All("2018-03-20T07:09:52"), v1Signed
	h.calls(t, call{v1AllPath, all, 202}, call{v1SignedPath, signed, 202}, call{clickwrapOf, complete + `"description":"x"}`, 202})
	h.closeDuplicateWindow(t)
	h.calls(t, call{v1AllPath, all, 200}, call{clickwrapOf, complete + `"description":"x"}`, 200}) // a control: the log holds them
	log, err := h.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.calls(t, call{v1AllPath, all, 202}, call{v1AllPath, all, 200}, call{v1SignedPath, signed, 202}, call{clickwrapOf, complete + `"description":"x"}`, 202})
	var types []string
	for _, e := range h.stored(t, "signing.v1.>") {
		types = append(types, e.GetProvider()+" "+e.GetType())
	}
	slices.Sort(types)
	if diff := cmp.Diff([]string{"clickwrap document.completed", "esign-v1 document.completed", "esign-v1 document.updated"}, types); diff != "" {
		t.Error(diff)
	}
}

// Inputs that earlier got "duplicate" without being stored.
func TestEveryFactOfASendingIsStored(t *testing.T) {
	t.Parallel()
	h := open(t)
	calls := []call{
		{clickwrapOf, `{"event_type":"activity_disagreed","id":"g1","request":"RG","activity":"A2","contract":1,"signer_id":"S1","created_time":"2026-11-02T10:00:00Z"}`, 202},
		{clickwrapOf, `{"event_type":"activity_disagreed","id":"g2","request":"RG","activity":"A3","contract":2,"signer_id":"S1","created_time":"2026-11-02T10:00:01Z"}`, 202},
		{clickwrapOf, `{"event_type":"request_sent","id":"f1","request":"RF","activity":"B1","created_time":"2026-11-01T10:00:00Z"}`, 202},
		{clickwrapOf, `{"event_type":"request_expired","id":"f2","request":"RF","created_time":"2026-11-02T10:00:00Z"}`, 202},
		{clickwrapOf, `{"event_type":"request_sent","id":"f3","request":"RF","activity":"B3","created_time":"2026-11-03T10:00:00Z"}`, 202},
		{clickwrapOf, `{"event_type":"request_expired","id":"f4","request":"RF","created_time":"2026-11-04T10:00:00Z"}`, 202},
		{v1SignedPath, v1Signed + "&event=created", 202},
		{v1SignedPath, v1Signed, 202},
	}
	h.storesEach(t, calls)
}

// A provider that numbers the events of each document, or sends one id for all of them, got 503 from the second
// document on: the log refused the event as a duplicate, and did not hold it under the document's subject.
func TestOneIDOfSeveralDocumentsIsSeveralEvents(t *testing.T) {
	t.Parallel()
	for _, redis := range []bool{true, false} {
		t.Run(fmt.Sprintf("redis %v", redis), func(t *testing.T) {
			t.Parallel()
			h := open(t)
			if !redis {
				h.redis.Stop()
			}
			calls := []call{
				{clickwrapOf, `{"event_type":"activity_visited","id":0,"request":"R1","created_time":"2026-11-02T10:00:00Z"}`, 202},
				{clickwrapOf, `{"event_type":"activity_visited","id":0,"request":"R2","created_time":"2026-11-02T10:00:01Z"}`, 202},
				{clickwrapOf, `{"event_type":"request_new","id":"1","request":"R1"}`, 202},
				{clickwrapOf, `{"event_type":"request_new","id":"1","request":"R2"}`, 202},
				{pleaseSign, `{"event":"recipient.opened","id":"1","document_id":"D1","recipient_id":"P"}`, 202},
				{pleaseSign, `{"event":"recipient.opened","id":"1","document_id":"D2","recipient_id":"P"}`, 202},
				{pleaseSign, `{"event":"recipient.failed","id":"1","document_id":"D2","recipient_id":"P"}`, 202},
				{pleaseSign, `{"event":"recipient.failed","id":"1","document_id":"D2","recipient_id":"Q"}`, 202},
			}
			h.storesEach(t, calls)
		})
	}
}

func TestATimeThatCannotBeReadIsCounted(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.calls(t,
		call{clickwrapOf, `{"event_type":"request_sent","id":"1","request":"R","activity":"A","created_time":"2025-03-11 18:05:30 UTC"}`, 202},
		call{clickwrapOf, `{"event_type":"request_sent","id":"2","request":"R","activity":"B","created_time":"03/04/2025 18:05"}`, 202},
		call{clickwrapOf, `{"event_type":"request_sent","id":"2","request":"R","activity":"B","created_time":"03/04/2025 18:05"}`, 200},
	)
	var unread []*signingv1.SigningEvent
	for _, e := range h.stored(t, "signing.v1.>") {
		if e.GetOccurredAt() == nil {
			unread = append(unread, e)
		}
	}
	if len(unread) != 1 || unread[0].GetAttributes()["signrelay.time_unread"] != "created_time" || unread[0].GetAttributes()["created_time"] != "03/04/2025 18:05" {
		t.Errorf("without a time: %v", unread)
	}
	want := `
		# HELP signrelay_ingest_times_unread_total Events stored with an ambiguous time in their callback; the attribute signrelay.time_unread names its field.
		# TYPE signrelay_ingest_times_unread_total counter
		signrelay_ingest_times_unread_total{provider="clickwrap",source="acme"} 1
		signrelay_ingest_times_unread_total{provider="esign-v1",source="old"} 0
		signrelay_ingest_times_unread_total{provider="pleasesign",source="plain"} 0
	`
	if err := testutil.GatherAndCompare(h.registry(t), strings.NewReader(want), "signrelay_ingest_times_unread_total"); err != nil {
		t.Error(err)
	}
}
