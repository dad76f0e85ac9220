package providertest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// checkTests checks the callbacks with which an operator tests a source: each is authentic with the last of several secrets, is one event
// endpoint.tested about no document and no person, and has an id of its own.
func checkTests(t *testing.T, p pack.Pack, s Setup) {
	t.Helper()
	src := s.Source
	for _, is := range credentials(src) {
		if !is.Secret {
			continue
		}
		for _, separator := range []string{",", "\n"} { // of a list, and of the lines of a text
			longer := s.Source.With(is.Key + "=an-older-secret" + separator + s.Source.Text(is.Key))
			i := slices.IndexFunc(longer.Settings(), func(one config.SourceSetting) bool { return one.Key == is.Key })
			if src = longer; len(longer.Settings()[i].Values) == 2 {
				break
			}
		}
	}
	w, seen := webhook(t, p, src), map[string]bool{}
	for _, id := range []string{"test-1", "test-2"} {
		requests, err := p.Test(src, pack.Test{ID: id, Now: receivedAt})
		if err != nil || len(requests) == 0 {
			t.Fatalf("%d test callbacks: %v", len(requests), err)
		}
		for _, r := range requests {
			verified, err := w.Verify(r)
			if err != nil {
				t.Fatalf("route %q: %v", r.Route, err)
			}
			if setting := verified.Key.Setting; setting != "" && !strings.HasSuffix(setting, "[1]") {
				t.Errorf("route %q: it is authentic with %s, want the last secret", r.Route, setting)
			}
			r.ReceivedAt = receivedAt.Add(time.Hour)
			events, err := w.Normalize(r, verified.By)
			if err != nil || len(events) != 1 {
				t.Fatalf("route %q: %d events: %v", r.Route, len(events), err)
			}
			e := events[0]
			if e.GetType() != event.EndpointTested || e.GetDocument() != nil || e.GetRecipient() != nil {
				t.Errorf("route %q: %v", r.Route, e)
			}
			if seen[e.GetId()] {
				t.Errorf("route %q: another test has the same id", r.Route)
			}
			seen[e.GetId()] = true
		}
	}
}
