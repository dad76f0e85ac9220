package sandbox_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// oddities describes a client's view of the responses to a fixed list of calls.
func oddities(t *testing.T, percent, seed int) (seen []string) {
	t.Helper()
	w := sandboxtest.OddWorld(t, "", percent, seed)
	for range 60 {
		a := w.Do("GET", "/v1.1/requests/596f858584281715b3493d0c", "", bearer)
		var request struct {
			ID      string          `json:"id"`
			Signers []any           `json:"signers"`
			Odd     json.RawMessage `json:"sandbox_odd"`
		}
		switch err := json.Unmarshal([]byte(a.Body), &request); {
		case err != nil:
			t.Fatalf("the response is not a JSON object: %s", a.Body)
		case a.Status == 200 && (request.ID != "596f858584281715b3493d0c" || len(request.Signers) != 1):
			t.Fatalf("the response lacks a field: %s", a.Body)
		case a.Status != 200 && (a.Status != 429 || a.Header.Get("Retry-After") != "1"):
			t.Fatalf("a status that Clickwrap does not document: %d %v", a.Status, a.Header)
		}
		seen = append(seen, fmt.Sprint(a.Status, a.Body[:8], len(request.Odd) > 0, a.Header.Get("Content-Length") == ""))
	}
	return seen
}

func TestTheSameSeedMakesTheSameOddities(t *testing.T) {
	t.Parallel()
	first, again, usual := oddities(t, 50, 7), oddities(t, 50, 7), oddities(t, 0, 7)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("the same seed made\n%q and\n%q", first, again)
	}
	kinds := map[string]bool{}
	for _, s := range first {
		kinds[s] = true
	}
	if len(kinds) < 4 {
		t.Errorf("only %d kinds of responses in %d: %q", len(kinds), len(first), first)
	}
	for _, s := range usual { // the control
		if s != usual[0] {
			t.Errorf("without the setting, a response is odd: %s", s)
		}
	}
}

func TestOddCallbacksAreAuthenticAndReportTheSameEvents(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.OddWorld(t, in.URL, 100, 3)
	w.Play("clickwrap", "two-signers")
	w.Play("pleasesign", "two-signers")
	ids := map[string]bool{}
	events := sandboxtest.Normalized(t, in.Calls)
	for _, e := range events {
		ids[e.ID] = true
	}
	if len(ids) != 8 || len(events) <= len(ids) {
		t.Errorf("%d events in %d callbacks, want 8 of which some come twice", len(ids), len(in.Calls))
	}
}
