package providertest

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// ReportSetup describes what a provider's API reports about a document, and the callbacks about the same facts.
type ReportSetup struct {
	APISetup

	Reported  string         // the response about Document, with all facts that the pack reads
	Callbacks []pack.Request // about these facts
	// Untimed are the types of the facts whose times the API does not return.
	Untimed []string

	// Pages are the responses to consecutive calls of List, for a pack.Lister, and Listed the ids of their documents.
	Pages  []string
	Listed []string
}

// RunReports runs the suite on a pack's reports: one fact has one id, whether a callback or the API tells it.
func RunReports(t *testing.T, p pack.Pack, s ReportSetup) {
	t.Helper()
	suite := reportSuite{apiSuite{p, s.APISetup}, s}
	for name, check := range map[string]func(*testing.T){
		"facts are those of callbacks": suite.facts,
		"failures":                     suite.failures,
		"documents that are gone":      suite.gone,
		"pages":                        suite.pages,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t)
		})
	}
}

type reportSuite struct {
	apiSuite
	s ReportSetup
}

// reporter returns the client of a server that gives these responses in turn, and the last one from then on.
func (s reportSuite) reporter(t *testing.T, status int, bodies ...string) (pack.Reporter, *[]*http.Request) {
	t.Helper()
	var calls atomic.Int64
	asked := &[]*http.Request{}
	a, ok := s.api(t, "", func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1))
		*asked = append(*asked, r)
		w.WriteHeader(status)
		fmt.Fprint(w, bodies[min(n, len(bodies))-1])
	}).(pack.Reporter)
	if !ok {
		t.Fatal("the pack's API is no pack.Reporter")
	}
	return a, asked
}

func (s reportSuite) facts(t *testing.T) {
	a, asked := s.reporter(t, http.StatusOK, s.s.Reported)
	if r := a.Reporting(); r.AtOnce < 1 || r.Retries <= 0 {
		t.Errorf("%+v", r)
	}
	reports, err := a.Reports(t.Context(), Document)
	if err != nil || len(reports) != 1 || reports[0].Document != Document {
		t.Fatalf("%+v, %v", reports, err)
	}
	for name := range s.s.Header {
		if got := (*asked)[0].Header.Get(name); got != s.s.Header.Get(name) {
			t.Errorf("%s: %q", name, got)
		}
	}
	again, err := a.Reports(t.Context(), Document)
	if err != nil {
		t.Fatal(err)
	}
	told := s.told(t)
	var before time.Time
	for i, f := range reports[0].Facts {
		e := f.Event
		if !proto.Equal(e, again[0].Facts[i].Event) {
			t.Errorf("%s: the second report differs", e.GetType())
		}
		if e.GetId() == "" || e.GetSource() != "demo" || e.GetProvider() != s.p.Name || e.GetReceivedAt() != nil || e.GetProviderType() == "" ||
			e.GetVerification() != signingv1.Verification_VERIFICATION_CONFIRMED || !slices.Contains(event.TypesOfReports(), e.GetType()) {
			t.Errorf("%v", e)
		}
		if untimed := slices.Contains(s.s.Untimed, e.GetType()); untimed != (e.GetOccurredAt() == nil) {
			t.Errorf("%s has the time %v", e.GetType(), e.GetOccurredAt())
		}
		if at := e.GetOccurredAt(); at != nil {
			if at.AsTime().Before(before) {
				t.Errorf("%s follows a later fact", e.GetType())
			}
			before = at.AsTime()
		}
		same := slices.IndexFunc(told, func(c *signingv1.SigningEvent) bool {
			return c.GetType() == e.GetType() && c.GetRecipient().GetId() == e.GetRecipient().GetId() && c.GetDocument().GetId() == e.GetDocument().GetId()
		})
		if same < 0 {
			t.Errorf("no callback reports %s", e.GetType())
			continue
		}
		callback := told[same]
		told = slices.Delete(told, same, same+1)
		if f.Exact && callback.GetId() != e.GetId() {
			t.Errorf("%s has the id %s, and its callback %s", e.GetType(), e.GetId(), callback.GetId())
		}
		if e.GetOccurredAt() != nil && !e.GetOccurredAt().AsTime().Equal(callback.GetOccurredAt().AsTime()) {
			t.Errorf("%s happened at %v, and by its callback at %v", e.GetType(), e.GetOccurredAt().AsTime(), callback.GetOccurredAt().AsTime())
		}
		if event.Subject(e) != event.Subject(callback) || e.GetProviderType() != callback.GetProviderType() {
			t.Errorf("%s is %s on %s, and by its callback %s on %s",
				e.GetType(), e.GetProviderType(), event.Subject(e), callback.GetProviderType(), event.Subject(callback))
		}
	}
	for _, c := range told {
		t.Errorf("the API does not report %s", c.GetType())
	}
}

// told returns the events of the callbacks.
func (s reportSuite) told(t *testing.T) (all []*signingv1.SigningEvent) {
	t.Helper()
	webhook, err := s.p.Webhook(s.s.Source)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.s.Callbacks {
		events, err := webhook.Normalize(r, signingv1.Verification_VERIFICATION_TOKEN)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
	return all
}

func (s reportSuite) failures(t *testing.T) {
	ask := map[string]func(a pack.Reporter) error{
		"Reports": func(a pack.Reporter) error {
			_, err := a.Reports(t.Context(), Document)
			return err
		},
		"List": func(a pack.Reporter) error {
			lister, ok := a.(pack.Lister)
			if !ok {
				return nil
			}
			_, err := lister.List(t.Context(), time.Time{}, "")
			return err
		},
	}
	for status, kind := range map[int]outcome.Kind{
		http.StatusUnauthorized: outcome.Held, http.StatusInternalServerError: outcome.Failed, http.StatusBadRequest: outcome.GaveUp, http.StatusOK: outcome.Failed,
	} {
		for name, call := range ask {
			a, _ := s.reporter(t, status, `{"message":"`+address+`"}`)
			if _, lists := a.(pack.Lister); name == "List" && !lists {
				continue
			}
			_ = s.wantCallError(t, fmt.Sprintf("%s with status %d", name, status), call(a), kind)
		}
	}
}

// gone checks that a document that the provider no longer knows is left out.
func (s reportSuite) gone(t *testing.T) {
	a, _ := s.reporter(t, http.StatusOK, "[]")
	if a.Reporting().AtOnce == 1 {
		a, _ = s.reporter(t, http.StatusNotFound, "{}")
	}
	reports, err := a.Reports(t.Context(), Document)
	if len(reports) != 0 || err != nil {
		t.Errorf("%+v, %v", reports, err)
	}
}

func (s reportSuite) pages(t *testing.T) {
	if len(s.s.Pages) == 0 {
		a, _ := s.reporter(t, http.StatusOK, "")
		if _, lists := a.(pack.Lister); lists {
			t.Error("the setup has no pages for the list")
		}
		return
	}
	a, asked := s.reporter(t, http.StatusOK, s.s.Pages...)
	lister, ok := a.(pack.Lister)
	if !ok {
		t.Fatal("the pack's API is no pack.Lister")
	}
	var found []string
	seen := map[string]bool{"": true}
	cursor := ""
	for range len(s.s.Pages) {
		page, err := lister.List(t.Context(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Reports {
			found = append(found, r.Document)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
		if seen[cursor] {
			t.Fatalf("the cursor %q comes again", cursor)
		}
		seen[cursor] = true
	}
	if cursor != "" || len(*asked) != len(s.s.Pages) {
		t.Errorf("%d requests for %d pages, and the cursor %q", len(*asked), len(s.s.Pages), cursor)
	}
	if !slices.Equal(found, s.s.Listed) {
		t.Errorf("the list has %q, want %q", found, s.s.Listed)
	}
}
