package clickwrap_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// The callbacks of each story, and the events that the pack reads from them.
func TestStoriesHaveAuthenticCallbacks(t *testing.T) {
	t.Parallel()
	var replies []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/inbound/") {
			replies = append(replies, r.FormValue("msisdn")+": "+r.FormValue("text")) // the sandbox sends one after the other
		}
	}))
	t.Cleanup(func() {
		server.Close()
		if want := []string{"13175551234: STOP", "13175551234: HELP", "13175551234: START"}; !slices.Equal(replies, want) {
			t.Errorf("the replies are %q, want %q", replies, want)
		}
	})
	sandboxtest.Stories(t, "clickwrap", []sandboxtest.Story{
		{
			Name:      "seed",
			Callbacks: []string{"request_sent", "request_signed", "request_signed", "request_complete", "request_sent", "request_signed"},
			Events:    []string{"document.sent", "recipient.signed", "recipient.signed", "document.completed", "document.sent", "recipient.signed"},
		},
		{
			Name:      "one-signer",
			Callbacks: []string{"request_sent", "request_complete", "request_signed"},
			Events:    []string{"document.sent", "document.completed", "recipient.signed"},
		},
		{
			Name:      "two-signers",
			Callbacks: []string{"request_sent", "request_signed", "request_signed", "request_complete"},
			Events:    []string{"document.sent", "recipient.signed", "recipient.signed", "document.completed"},
		},
		{Name: "resend", Callbacks: []string{"request_sent", "request_sent"}, Events: []string{"document.sent", "document.sent"}},
		{Name: "declined", Callbacks: []string{"request_sent", "activity_disagreed"}, Events: []string{"document.sent", "recipient.declined"}},
		{Name: "unsigned", Callbacks: []string{"request_sent"}, Events: []string{"document.sent"}},
		{Name: "lost-text", Callbacks: []string{"request_sent"}, Events: []string{"document.sent"}},
		{
			Name: "stop", Callbacks: []string{"request_sent", "request_signed"}, Events: []string{"document.sent", "recipient.signed"},
			Meanwhile: func(w sandboxtest.World, c sandboxtest.Call) {
				if c.Fields["event_type"] == "request_sent" { // all messages of the story
					for range 3 {
						w.SMS(sandboxtest.SMSForm("callback", server.URL+"/receipts/vonage/demo"))
					}
					sandboxtest.Mail(w.T, w, sandboxtest.Alternative, "eric.smith@example.com")
					sandboxtest.Mail(w.T, w, sandboxtest.Alternative, "eric.smith@example.com")
				}
			},
		},
	})
}

var clickwrapID = regexp.MustCompile(`^[0-9a-f]{24}$`)

func TestTheSeedStoryPlaysTheGuidesThreeFlows(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	got := w.Play("clickwrap", "seed")

	if len(got.Documents) != 2 || !clickwrapID.MatchString(got.Documents[0]) || !clickwrapID.MatchString(got.Documents[1]) || got.Documents[0] == got.Documents[1] {
		t.Fatalf("documents are %q", got.Documents)
	}
	a, b := got.Documents[0], got.Documents[1]
	jane := request(w, a).Signers[1].SignerID
	want := []struct{ event, request, description, signer string }{
		{"request_sent", a, `PactSafe sent "PS Employment Agreement"`, ""},
		{"request_signed", a, `Eric Smith signed "PS Employment Agreement"`, request(w, a).Signers[0].SignerID},
		{"request_signed", a, `Jane Roe signed "PS Employment Agreement"`, jane},
		{"request_complete", a, `"PS Employment Agreement" has been completed`, ""},
		{"request_sent", b, `PactSafe sent "Employment Agreement"`, ""},
		{"request_signed", b, `Eric Smith signed "Employment Agreement"`, request(w, b).Signers[0].SignerID},
	}
	if len(in.Calls) != len(want) || len(got.Callbacks) != len(want) {
		t.Fatalf("%d callbacks were received, %d are reported, want %d", len(in.Calls), len(got.Callbacks), len(want))
	}
	ids := map[any]bool{}
	for i, wanted := range want {
		c := in.Calls[i]
		if outcome := got.Callbacks[i]; outcome.Event != wanted.event || outcome.Status != 202 || !slices.Equal(outcome.IDs, []string{fmt.Sprintf("event-%d", i+1)}) {
			t.Errorf("callback %d is listed as %+v", i, outcome)
		}
		if c.Path != "POST /webhooks/clickwrap/demo" {
			t.Errorf("callback %d was sent to %s", i, c.Path)
		}
		if token := c.Header.Values("Pactsafe-Webhook-Token"); !slices.Equal(token, []string{"12345"}) {
			t.Errorf("callback %d has the token %q", i, token)
		}
		if kind := c.Header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("callback %d is %q", i, kind)
		}
		signer, _ := c.Fields["signer"].(string)
		if c.Fields["event_type"] != wanted.event || c.Fields["request"] != wanted.request || c.Fields["description"] != wanted.description || signer != wanted.signer {
			t.Errorf("callback %d is %s, want %+v", i, c.Body, wanted)
		}
		ids[c.Fields["id"]], ids[c.Fields["activity"]] = true, true
	}
	if len(ids) != 2*len(want) {
		t.Errorf("%d different ids and activities, want %d", len(ids), 2*len(want))
	}
}

func TestCallbacksHaveTheSeedsFields(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	w.Play("clickwrap", "one-signer")
	common := []string{"type", "integration", "sent_to", "event_type", "description", "site", "request", "activity"}
	times := []string{"updated_time", "created_time", "deliverable", "id"}
	want := map[string][]string{
		"request_sent":     slices.Concat(common, []string{"user"}, times),
		"request_signed":   slices.Concat(common, []string{"signer"}, times),
		"request_complete": slices.Concat(common, times, []string{"render_data", "fields"}),
	}
	for _, c := range in.Calls {
		event := c.Fields["event_type"].(string)
		if got := keys(t, c.Body); !slices.Equal(got, want[event]) {
			t.Errorf("%s has the fields %q, want %q", event, got, want[event])
		}
		for name, value := range map[string]any{"type": "webhook", "site": 2.0, "deliverable": true, "sent_to": in.URL + "/webhooks/clickwrap/demo"} {
			if c.Fields[name] != value {
				t.Errorf("%s: %s is %v, want %v", event, name, c.Fields[name], value)
			}
		}
		at, err := time.Parse("2006-01-02T15:04:05.000Z", c.Fields["created_time"].(string))
		if err != nil || time.Since(at) > time.Minute {
			t.Errorf("%s: created_time is %v, %v", event, at, err)
		}
	}
}

// keys returns an object's keys in their written order.
func keys(t *testing.T, object string) []string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	var found []string
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, key.(string))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestTheSignersPageChangesBeforeItsCallbackIsSent(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	var pages []string // the first signer's page at each callback
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
		signer := request(w, c.Fields["request"].(string)).Signers[0]
		page, err := w.Try(t.Context(), "GET", strings.TrimPrefix(signer.RequestURL, w.Link("")), "", nil)
		if err != nil || page.Status != 200 {
			t.Errorf("the signing page: %d, %v", page.Status, err)
		}
		pages = append(pages, page.Body)
		return false
	}
	w.Play("clickwrap", "two-signers")
	for i, want := range []string{
		"Review &amp; sign \"E-Waiver Form\"", "Eric Smith has signed", "Eric Smith has signed", "accepted by all parties",
	} {
		if !strings.Contains(pages[i], want) {
			t.Errorf("at callback %d the page does not contain %q:\n%s", i, want, pages[i])
		}
	}
}

func TestSendingAgainIsAnotherEvent(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	w.Play("clickwrap", "resend")
	if again := sandboxtest.Normalized(t, in.Calls); again[0].ID == again[1].ID || again[0].Document != again[1].Document {
		t.Errorf("sent and sent again are %+v", again)
	}
}
