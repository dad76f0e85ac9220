package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ingest is a colleague who takes callbacks and remembers them.
type ingest struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
	// meets is asked, when it is set, before a call is taken; it may answer itself, and then says so.
	meets func(w http.ResponseWriter, c call) (answered bool)
}

type call struct {
	path   string
	query  url.Values
	header http.Header
	body   string
	fields map[string]any // of a JSON object, or of a form
	at     time.Time
}

func newIngest(t *testing.T) *ingest {
	t.Helper()
	in := &ingest{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c := call{path: r.Method + " " + r.URL.Path, query: r.URL.Query(), header: r.Header, body: string(body), at: time.Now()}
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			form, broken := url.ParseQuery(string(body))
			err, c.fields = errors.Join(err, broken), map[string]any{}
			for name := range form {
				c.fields[name] = form.Get(name)
			}
		} else {
			err = errors.Join(err, json.Unmarshal(body, &c.fields))
		}
		if err != nil {
			t.Errorf("a callback is neither JSON nor a form: %q, %v", body, err)
		}
		in.mu.Lock()
		in.calls = append(in.calls, c)
		n := len(in.calls)
		in.mu.Unlock()
		if in.meets != nil && in.meets(w, c) {
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"status":"accepted","ids":["event-%d"]}`, n)
	}))
	t.Cleanup(in.Close)
	return in
}

// played is the answer to POST /api/play, by its literal names.
type played struct {
	Documents []string `json:"documents"`
	Callbacks []struct {
		Event  string   `json:"event"`
		Status int      `json:"status"`
		IDs    []string `json:"ids"`
	} `json:"callbacks"`
	Detail string `json:"detail"`
}

func (w world) play(story string) played { w.t.Helper(); return w.playOf("clickwrap", story) }
func (w world) playOf(provider, story string) played {
	w.t.Helper()
	a := w.post("/api/play", `{"provider":"`+provider+`","story":"`+story+`","pause_ms":0}`)
	wantStatus(w.t, a, 200)
	return read[played](w.t, a)
}

var clickwrapID = regexp.MustCompile(`^[0-9a-f]{24}$`)

func TestTheSeedStoryTellsTheGuidesThreeFlows(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	got := w.play("seed")

	if len(got.Documents) != 2 || !clickwrapID.MatchString(got.Documents[0]) || !clickwrapID.MatchString(got.Documents[1]) || got.Documents[0] == got.Documents[1] {
		t.Fatalf("documents are %q", got.Documents)
	}
	a, b := got.Documents[0], got.Documents[1]
	jane := w.request(a).Signers[1].SignerID
	want := []struct{ event, request, description, signer string }{
		{"request_sent", a, `PactSafe sent "PS Employment Agreement"`, ""},
		{"request_signed", a, `Eric Smith signed "PS Employment Agreement"`, w.request(a).Signers[0].SignerID},
		{"request_signed", a, `Jane Roe signed "PS Employment Agreement"`, jane},
		{"request_complete", a, `"PS Employment Agreement" has been completed`, ""},
		{"request_sent", b, `PactSafe sent "Employment Agreement"`, ""},
		{"request_signed", b, `Eric Smith signed "Employment Agreement"`, w.request(b).Signers[0].SignerID},
	}
	if len(in.calls) != len(want) || len(got.Callbacks) != len(want) {
		t.Fatalf("%d callbacks came, %d are told, want %d", len(in.calls), len(got.Callbacks), len(want))
	}
	ids := map[any]bool{}
	for i, wanted := range want {
		c := in.calls[i]
		if told := got.Callbacks[i]; told.Event != wanted.event || told.Status != 202 || !slices.Equal(told.IDs, []string{fmt.Sprintf("event-%d", i+1)}) {
			t.Errorf("callback %d is told as %+v", i, told)
		}
		if c.path != "POST /webhooks/clickwrap/demo" {
			t.Errorf("callback %d came to %s", i, c.path)
		}
		if token := c.header.Values("Pactsafe-Webhook-Token"); !slices.Equal(token, []string{"12345"}) {
			t.Errorf("callback %d bears the token %q", i, token)
		}
		if kind := c.header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("callback %d is %q", i, kind)
		}
		signer, _ := c.fields["signer"].(string)
		if c.fields["event_type"] != wanted.event || c.fields["request"] != wanted.request || c.fields["description"] != wanted.description || signer != wanted.signer {
			t.Errorf("callback %d is %s, want %+v", i, c.body, wanted)
		}
		ids[c.fields["id"]], ids[c.fields["activity"]] = true, true
	}
	if len(ids) != 2*len(want) {
		t.Errorf("%d different ids and activities, want %d", len(ids), 2*len(want))
	}
}

func TestCallbacksHaveTheSeedsFields(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	w.play("one-signer")
	common := []string{"type", "integration", "sent_to", "event_type", "description", "site", "request", "activity"}
	times := []string{"updated_time", "created_time", "deliverable", "id"}
	want := map[string][]string{
		"request_sent":     slices.Concat(common, []string{"user"}, times),
		"request_signed":   slices.Concat(common, []string{"signer"}, times),
		"request_complete": slices.Concat(common, times, []string{"render_data", "fields"}),
	}
	for _, c := range in.calls {
		event := c.fields["event_type"].(string)
		if got := keys(t, c.body); !slices.Equal(got, want[event]) {
			t.Errorf("%s has the fields %q, want %q", event, got, want[event])
		}
		for name, value := range map[string]any{"type": "webhook", "site": 2.0, "deliverable": true, "sent_to": in.URL + "/webhooks/clickwrap/demo"} {
			if c.fields[name] != value {
				t.Errorf("%s: %s is %v, want %v", event, name, c.fields[name], value)
			}
		}
		at, err := time.Parse("2006-01-02T15:04:05.000Z", c.fields["created_time"].(string))
		if err != nil || time.Since(at) > time.Minute {
			t.Errorf("%s: created_time is %v, %v", event, at, err)
		}
	}
}

// keys are an object's keys in the order in which they are written.
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

func TestStoriesTellTheirCallbacksInOrderAndCanBePlayedAgain(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	for story, want := range map[string][]string{
		"one-signer":  {"request_sent", "request_complete", "request_signed"},
		"two-signers": {"request_sent", "request_signed", "request_signed", "request_complete"},
	} {
		first, second := w.play(story), w.play(story)
		for _, p := range []played{first, second} {
			var events []string
			for _, c := range p.Callbacks {
				events = append(events, c.Event)
			}
			if !slices.Equal(events, want) {
				t.Errorf("%s: %q, want %q", story, events, want)
			}
		}
		if first.Documents[0] == second.Documents[0] {
			t.Errorf("%s: played again with the same document", story)
		}
	}
}

func TestTheSignersPageChangesBeforeItsCallbackIsSent(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	var pages []string // the first signer's page at each callback
	in.meets = func(_ http.ResponseWriter, c call) bool {
		signer := w.request(c.fields["request"].(string)).Signers[0]
		page, err := w.try(t.Context(), "GET", strings.TrimPrefix(signer.RequestURL, w.url("")), "", nil)
		if err != nil || page.status != 200 {
			t.Errorf("the signing page: %d, %v", page.status, err)
		}
		pages = append(pages, page.body)
		return false
	}
	w.play("two-signers")
	for i, want := range []string{
		"Review &amp; sign \"E-Waiver Form\"", "Eric Smith has signed", "Eric Smith has signed", "accepted by all parties",
	} {
		if !strings.Contains(pages[i], want) {
			t.Errorf("at callback %d the page does not tell %q:\n%s", i, want, pages[i])
		}
	}
}

func TestAPauseLiesBetweenCallbacks(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	wantStatus(t, w.post("/api/play", `{"provider":"clickwrap","story":"one-signer","pause_ms":30}`), 200)
	for i := 1; i < len(in.calls); i++ {
		if between := in.calls[i].at.Sub(in.calls[i-1].at); between < 30*time.Millisecond {
			t.Errorf("only %v before callback %d", between, i)
		}
	}
}

func TestAnOverloadedIngestIsTriedAgainWithTheSameCallback(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	in.meets = func(w http.ResponseWriter, _ call) bool {
		if len(in.calls) > 2 {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	got := w.play("one-signer")
	if len(in.calls) != 5 || len(got.Callbacks) != 3 || got.Callbacks[0].Status != 202 {
		t.Fatalf("%d calls, told as %+v; want two refused and three taken", len(in.calls), got.Callbacks)
	}
	if in.calls[0].body != in.calls[1].body || in.calls[1].body != in.calls[2].body {
		t.Error("the callback changed from try to try")
	}
}

func TestARefusedCallbackEndsTheStory(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	in.meets = func(w http.ResponseWriter, c call) bool {
		if c.fields["event_type"] == "request_sent" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	a := w.post("/api/play", `{"provider":"clickwrap","story":"seed","pause_ms":0}`)
	wantProblem(t, a, 502, "request_signed was answered 401")
	got := read[played](t, a)
	if len(in.calls) != 2 || len(got.Documents) != 2 || len(got.Callbacks) != 2 || got.Callbacks[1].Status != 401 || got.Callbacks[1].IDs == nil {
		t.Errorf("%d calls, told as %+v", len(in.calls), got)
	}
}

func TestADuplicateCountsAsTaken(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	in.meets = func(w http.ResponseWriter, _ call) bool {
		fmt.Fprint(w, `{"status":"duplicate"}`)
		return true
	}
	a := w.post("/api/play", `{"provider":"clickwrap","story":"one-signer","pause_ms":0}`)
	wantStatus(t, a, 200)
	if !strings.Contains(a.body, `{"event":"request_sent","status":200,"ids":[]}`) {
		t.Errorf("told as %s", a.body)
	}
}

func TestWhatCannotBePlayedIsSaidSo(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	for _, story := range []string{`{"provider":"clickwrap","story":"none"}`, `{"provider":"none","story":"seed"}`, `{}`} {
		a := w.post("/api/play", story)
		wantProblem(t, a, 404, "no such story")
		if listed := read[struct{ Stories []any }](t, a).Stories; len(listed) != 15 {
			t.Errorf("%s: %d stories are listed", story, len(listed))
		}
	}
	for _, bad := range []string{``, `[]`, `not JSON`, `{"provider":"clickwrap","story":"seed","pause":1}`, `{} {}`} {
		wantProblem(t, w.post("/api/play", bad), 400, "the body")
	}
	for _, pause := range []string{"-1", "10001"} {
		wantProblem(t, w.post("/api/play", `{"provider":"clickwrap","story":"seed","pause_ms":`+pause+`}`), 400, "pause_ms")
	}
	if len(in.calls) != 0 {
		t.Errorf("%d callbacks were sent nevertheless", len(in.calls))
	}
}
