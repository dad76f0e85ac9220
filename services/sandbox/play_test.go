package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

func TestStoriesSendTheirCallbacksInOrderEachTime(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	for story, want := range map[string][]string{
		"one-signer":  {"request_sent", "request_complete", "request_signed"},
		"two-signers": {"request_sent", "request_signed", "request_signed", "request_complete"},
	} {
		first, second := w.Play("clickwrap", story), w.Play("clickwrap", story)
		for _, p := range []sandboxtest.Played{first, second} {
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

func TestThereIsAPauseBetweenCallbacks(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	sandboxtest.WantStatus(t, w.Post("/api/play", `{"provider":"clickwrap","story":"one-signer","pause_ms":30}`), 200)
	for i := 1; i < len(in.Calls); i++ {
		if between := in.Calls[i].At.Sub(in.Calls[i-1].At); between < 30*time.Millisecond {
			t.Errorf("only %v before callback %d", between, i)
		}
	}
}

func TestARefusedCallbackIsRetriedUnchanged(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	in.Meets = func(w http.ResponseWriter, _ sandboxtest.Call) bool {
		if len(in.Calls) > 2 {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	got := w.Play("clickwrap", "one-signer")
	if len(in.Calls) != 5 || len(got.Callbacks) != 3 || got.Callbacks[0].Status != 202 {
		t.Fatalf("%d calls, reported as %+v; want two refused and three accepted", len(in.Calls), got.Callbacks)
	}
	if in.Calls[0].Body != in.Calls[1].Body || in.Calls[1].Body != in.Calls[2].Body {
		t.Error("the callback changed between attempts")
	}
}

func TestARefusedCallbackEndsTheStory(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	in.Meets = func(w http.ResponseWriter, c sandboxtest.Call) bool {
		if c.Fields["event_type"] == "request_sent" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	a := w.Post("/api/play", `{"provider":"clickwrap","story":"seed","pause_ms":0}`)
	sandboxtest.WantProblem(t, a, 502, "the response to request_signed is 401")
	got := sandboxtest.Read[sandboxtest.Played](t, a)
	if len(in.Calls) != 2 || len(got.Documents) != 2 || len(got.Callbacks) != 2 || got.Callbacks[1].Status != 401 || got.Callbacks[1].IDs == nil {
		t.Errorf("%d calls, reported as %+v", len(in.Calls), got)
	}
}

func TestADuplicateCountsAsAccepted(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	in.Meets = func(w http.ResponseWriter, _ sandboxtest.Call) bool {
		fmt.Fprint(w, `{"status":"duplicate"}`)
		return true
	}
	a := w.Post("/api/play", `{"provider":"clickwrap","story":"one-signer","pause_ms":0}`)
	sandboxtest.WantStatus(t, a, 200)
	if !strings.Contains(a.Body, `{"event":"request_sent","status":200,"ids":[]}`) {
		t.Errorf("reported as %s", a.Body)
	}
}

func TestUnknownStoriesAreRefused(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	for _, story := range []string{`{"provider":"clickwrap","story":"none"}`, `{"provider":"none","story":"seed"}`, `{}`} {
		a := w.Post("/api/play", story)
		sandboxtest.WantProblem(t, a, 404, "no such story")
		if listed := sandboxtest.Read[struct{ Stories []any }](t, a).Stories; len(listed) != 21 {
			t.Errorf("%s: %d stories are listed", story, len(listed))
		}
	}
	for _, bad := range []string{``, `[]`, `not JSON`, `{"provider":"clickwrap","story":"seed","pause":1}`, `{} {}`} {
		sandboxtest.WantProblem(t, w.Post("/api/play", bad), 400, "the body")
	}
	for _, pause := range []string{"-1", "10001"} {
		sandboxtest.WantProblem(t, w.Post("/api/play", `{"provider":"clickwrap","story":"seed","pause_ms":`+pause+`}`), 400, "pause_ms")
	}
	if len(in.Calls) != 0 {
		t.Errorf("%d callbacks were sent", len(in.Calls))
	}
}

// A sandbox beside services in other processes cannot move their clocks.
func TestAStoryInWhichTimePassesNeedsOneProcess(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	sandboxtest.WantStatus(t, w.Post("/api/play", `{"provider":"clickwrap","story":"unsigned","pause_ms":0}`), 200)
	alone := sandboxtest.Alone(t, in.URL)
	sandboxtest.WantProblem(t, alone.Post("/api/play", `{"provider":"clickwrap","story":"unsigned","pause_ms":0}`), 409, "signrelay run")
}
