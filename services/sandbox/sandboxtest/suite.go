package sandboxtest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
)

// Story contains the expected callbacks of a story, and the expected events from the provider's own pack.
type Story struct {
	Name      string
	Callbacks []string
	Events    []string
	// Meanwhile sends the messages to which a person replies in the story. It runs before each callback is accepted.
	Meanwhile func(w World, c Call)
}

// Stories plays every story of a provider. The callbacks must be authentic, and the provider's own pack must read the right events from them.
func Stories(t *testing.T, provider string, want []Story) {
	t.Helper()
	needSource(t, provider)
	var names, listed []string
	for _, s := range want {
		names = append(names, s.Name)
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			in := NewIngest(t)
			w := Open(t, in.URL)
			if s.Meanwhile != nil {
				in.Meets = func(_ http.ResponseWriter, c Call) bool { s.Meanwhile(w, c); return false }
			}
			var callbacks []string
			for _, c := range w.Play(provider, s.Name).Callbacks {
				callbacks = append(callbacks, c.Event)
			}
			if !slices.Equal(callbacks, s.Callbacks) {
				t.Errorf("callbacks are %q, want %q", callbacks, s.Callbacks)
			}
			if events := kinds(Normalized(t, in.Calls)); !slices.Equal(events, s.Events) {
				t.Errorf("events are %q, want %q", events, s.Events)
			}
		})
	}
	w := Open(t, "")
	for _, s := range Read[[]struct{ Provider, Story string }](t, w.Get("/api/stories")) {
		if s.Provider == provider {
			listed = append(listed, s.Story)
		}
	}
	if !slices.Equal(listed, names) {
		t.Errorf("the stories of %s are %q, want %q", provider, listed, names)
	}
}

func kinds(events []Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

// needSource fails the test if the settings of the tests have no source of the provider.
func needSource(t *testing.T, provider string) {
	t.Helper()
	if !slices.ContainsFunc(Settings("").Sources, func(s config.Source) bool { return s.Provider == provider }) {
		t.Fatalf("services/sandbox/sandboxtest/world.go: Settings has no source of %s", provider)
	}
}

// Signing is a story in which some signers can still sign.
type Signing struct {
	Provider, Story  string
	Document         int                                               // its index in the story
	Signers          []int                                             // the signers, in order
	Signed, Declined []string                                          // the events if all sign, and if the first declines
	Page             func(w World, document string, signer int) string // the page of a person's link
}

// Run signs a document by hand, and declines another one.
func (s Signing) Run(t *testing.T) {
	t.Helper()
	needSource(t, s.Provider)
	t.Run("signed", s.signed)
	t.Run("declined", s.declined)
}

func (s Signing) signed(t *testing.T) {
	t.Parallel()
	in := NewIngest(t)
	w := Open(t, in.URL)
	id := w.Play(s.Provider, s.Story).Documents[s.Document]
	played := len(in.Calls)
	for _, signer := range s.Signers {
		page := s.Page(w, id, signer)
		before := w.Get(page)
		if !strings.Contains(before.Body, `<button name="do" value="sign">`) {
			t.Fatalf("the page has no button: %s", before.Body)
		}
		pressed := w.Press(page, "sign")
		WantStatus(t, pressed, 303)
		after := w.Get(pressed.Header.Get("Location"))
		if after.Status != 200 || strings.Contains(after.Body, "<button") {
			t.Errorf("after signing the page is %d %s", after.Status, after.Body)
		}
		reported := len(in.Calls)
		WantStatus(t, w.Press(page, "sign"), 409) // signing twice is refused
		if len(in.Calls) != reported {
			t.Error("signing twice was reported")
		}
	}
	events := Normalized(t, in.Calls[played:])
	for _, e := range events {
		if e.Document != "" && e.Document != id {
			t.Errorf("an event is of %s", e.Document)
		}
	}
	if got := kinds(events); !slices.Equal(got, s.Signed) {
		t.Errorf("signing by hand made %q, want %q", got, s.Signed)
	}
}

func (s Signing) declined(t *testing.T) {
	t.Parallel()
	in := NewIngest(t)
	w := Open(t, in.URL)
	id := w.Play(s.Provider, s.Story).Documents[s.Document]
	played := len(in.Calls)
	page := s.Page(w, id, 0)
	WantStatus(t, w.Press(page, "decline"), 303)
	if got := kinds(Normalized(t, in.Calls[played:])); !slices.Equal(got, s.Declined) {
		t.Errorf("declining by hand made %q, want %q", got, s.Declined)
	}
	if after := w.Get(page); !strings.Contains(after.Body, "has declined to sign") || strings.Contains(after.Body, "<button") {
		t.Errorf("after declining the page is %s", after.Body)
	}
}

// API is a REST API with a valid call.
type API struct {
	Target string
	Call   func(World) (Response, error)
	Good   int    // the status of that call
	Own    string // in the body of its own throttling response, if that is not a 429
}

// Fails tests every fault of the API.
func (a API) Fails(t *testing.T) {
	t.Helper()
	w := Open(t, "")
	for _, mode := range []string{"refuse", "throttle", "drop", "cut", "garbage", "slow", "401", "404", "500", "503"} {
		w.Fault(`{"target":"` + a.Target + `","mode":"` + mode + `","delay_ms":1}`)
		r, err := a.Call(w)
		got := "answered"
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			got = "cut"
		case errors.Is(err, io.EOF):
			got = "drop"
		case err != nil:
			t.Errorf("%s: %v", mode, err)
		case r.Status != a.Good && (mode != "garbage" || r.Status != 200):
			got = strconv.Itoa(r.Status)
		case !json.Valid([]byte(r.Body)):
			got = "garbage"
		case a.Own != "" && strings.Contains(r.Body, a.Own):
			got = "throttle"
		}
		want := map[string]string{"refuse": "500", "throttle": "429", "slow": "answered"}[mode]
		if want == "" || a.Own != "" && mode == "throttle" {
			want = mode // in its own format
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %s", mode, got, want, r.Body)
		}
		if want == "429" && r.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", r.Header.Get("Retry-After"))
		}
	}
	if r, err := a.Call(w); err != nil || r.Status != a.Good { // the control
		t.Errorf("%s does not work again: %d %v", a.Target, r.Status, err)
	}
}

// WantGoodAgain checks that everything works without a fault. It is the control of the tests with faults.
func WantGoodAgain(t *testing.T, w World) {
	t.Helper()
	before := len(w.Received(""))
	if got := w.SMS(SMSForm()); got.Messages[0].Status != "0" {
		t.Errorf("Vonage still responds %+v", got)
	}
	WantStatus(t, w.Do("GET", "/v1.1/requests/5a0000000000000000000000", "", http.Header{"Authorization": {"Bearer rest-token"}}), 404)
	Mail(t, w, Alternative, "j@example.com")
	if got := w.Received(""); len(got) != before+2 {
		t.Errorf("%d messages were received since, want 2", len(got)-before)
	}
}
