package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// counts stores what ingest counts of the source onboarding.
func (b *bench) counts(a flow.Arrivals) {
	b.t.Helper()
	if err := flow.AddArrivals(b.t.Context(), b.Env.JS, "pleasesign", "onboarding", a, b.Env.Now()); err != nil {
		b.t.Fatal(err)
	}
}

// A source that called in the same hours of the last week, and not now, is silent. The page says so at its top, and so does the flow.
func TestSilentSource(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Hour).Add(20 * time.Minute)
	const week = 7 * 24 * time.Hour
	calls := func(ages ...time.Duration) (all []time.Time) {
		for _, age := range ages {
			for i := range 6 {
				all = append(all, now.Add(-age).Add(time.Duration(i)*time.Second))
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		calls  []time.Time
		silent bool
	}{
		"it never called":                     {nil, false},
		"it called in those hours":            {calls(week+time.Hour, week+2*time.Hour), true},
		"it calls today":                      {calls(week+time.Hour, week+2*time.Hour, 90*time.Minute), false},
		"it calls now":                        {calls(week+time.Hour, week+2*time.Hour, 5*time.Minute), false},
		"its last call is three hours old":    {calls(week+time.Hour, week+2*time.Hour, 3*time.Hour), true},
		"few calls in those hours":            {calls(week + time.Hour), false},
		"it calls at other hours of the week": {calls(week+5*time.Hour, week+6*time.Hour, 6*time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, nil)
			b.Env.Now = func() time.Time { return now }
			b = b.restart()
			var a flow.Arrivals
			for _, at := range c.calls {
				a.Accept(at)
			}
			b.counts(a)
			for _, path := range []string{"/", "/sources", "/sources/pleasesign/onboarding"} {
				_, page := b.get(b.browser(), path)
				has := strings.Contains(page, "Source onboarding is silent") && strings.Contains(page, "about every 10 min at this hour of the week") && strings.Contains(page, "signrelaysourcesilent")
				if has != c.silent {
					t.Errorf("%s says that it is silent: %v, want %v\n%s", path, has, c.silent, page)
				}
			}
		})
	}
}

// The page of a source says how many callbacks were refused, why and since when. Many wrong signatures are a finding, one is not.
func TestRefusedCallbacks(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	const path = "/sources/pleasesign/onboarding"
	if _, page := b.get(b.browser(), path); !strings.Contains(page, "<h1>Source onboarding has never called</h1>") || !strings.Contains(page, "None in the last 7 days") {
		t.Errorf("an empty installation:\n%s", page)
	}
	var a flow.Arrivals
	a.Accept(time.Now())
	a.Refuse("unauthentic", time.Now().Add(-time.Minute))
	a.Refuse("too-large", time.Now())
	b.counts(a)
	_, page := b.get(b.browser(), path)
	for _, want := range []string{"<h1>Source onboarding calls as usual</h1>", "unauthentic<small>The signature or token is wrong", "too-large<small>The body is larger", "1 callback this hour"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	a = flow.Arrivals{}
	for range 6 {
		a.Refuse("unauthentic", time.Now())
	}
	b.counts(a)
	for path, want := range map[string]string{
		path: "<h1>Source onboarding refuses callbacks</h1>", "/?time=utc": "8 callbacks were refused", "/sources": "<h1>Source onboarding refuses callbacks</h1>", "/": "7 callbacks had a wrong signature or token",
	} {
		if _, page := b.get(b.browser(), path); !strings.Contains(page, want) || !strings.Contains(page, "signrelaycallbacksunauthentic") {
			t.Errorf("%s lacks %q:\n%s", path, want, page)
		}
	}
	var source struct {
		Callbacks int `json:"callbacks_1h"`
		Refused   []struct {
			Reason string
			Count  int
			Last   time.Time
		}
	}
	if status := b.json(path, &source); status != http.StatusOK || source.Callbacks != 1 || len(source.Refused) != 2 || source.Refused[0].Count != 7 || source.Refused[0].Last.IsZero() {
		t.Errorf("%+v", source)
	}
}

// The counts by type are those of the last day, also when events come in between two views.
func TestEventsAreCountedByType(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	type count struct {
		Type string
		Hour int `json:"1h"`
		Day  int `json:"24h"`
	}
	var source struct {
		Events   []count
		Complete bool `json:"counts_complete"`
	}
	stored := 0
	add := func(typ string, n int) {
		for range n {
			stored++
			subject := event.SubjectOf("onboarding", "pleasesign", typ, fmt.Sprint("d", stored))
			if _, err := b.Env.JS.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		<-b.Env.JS.PublishAsyncComplete()
	}
	want := map[string]int{}
	for round := range 3 {
		for _, typ := range []string{event.DocumentSent, event.RecipientSigned} {
			add(typ, 700+round)
			want[typ] += 700 + round
		}
		for b.json("/sources/pleasesign/onboarding", &source); !source.Complete; { // a slow machine continues in the background
			b.json("/sources/pleasesign/onboarding", &source)
		}
		got := map[string]int{}
		for _, c := range source.Events {
			got[c.Type] = c.Day
			if c.Hour != c.Day {
				t.Errorf("%+v", c)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("round %d: %v, want %v", round, got, want)
		}
	}
	// A day later they are old.
	b.Env.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	b = b.restart()
	if b.json("/sources/pleasesign/onboarding", &source); len(source.Events) != 0 {
		t.Errorf("a day later: %+v", source.Events)
	}
}
