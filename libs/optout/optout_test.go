package optout_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/realtest"
)

const number = "+13175551234"

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, masters ...string) (optout.Store, jetstream.JetStream) {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return beside(t, js, masters...), js
}

func beside(t *testing.T, js jetstream.JetStream, masters ...string) optout.Store {
	t.Helper()
	s, err := optout.Open(t.Context(), js, keyring.New(masters))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wish(out bool, second int, message string) optout.State {
	return optout.State{Out: out, At: noon.Add(time.Duration(second) * time.Second), Message: message}
}

func change(t *testing.T, s optout.Store, to optout.State, who optout.Who, also ...optout.Who) optout.Result {
	t.Helper()
	result, err := s.Change(t.Context(), to, who, also...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func out(t *testing.T, s optout.Store, groups ...[]optout.Who) bool {
	t.Helper()
	is, err := s.Out(t.Context(), groups...)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// The order of the person's texts counts, and not the order of their arrival.
func TestTheLatestWishCounts(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	type step struct {
		to   optout.State
		want optout.Result
		out  bool
	}
	for name, steps := range map[string][]step{
		"stop and start":              {{wish(true, 1, "a"), optout.Changed, true}, {wish(false, 2, "b"), optout.Changed, false}},
		"a repeated stop":             {{wish(true, 1, "a"), optout.Changed, true}, {wish(true, 1, "a"), optout.Changed, true}},
		"two stops":                   {{wish(true, 1, "a"), optout.Changed, true}, {wish(true, 2, "b"), optout.Confirmed, true}, {wish(true, 2, "b"), optout.Confirmed, true}},
		"start arrives after stop":    {{wish(true, 2, "a"), optout.Changed, true}, {wish(false, 1, "b"), optout.Outdated, true}},
		"stop arrives after start":    {{wish(false, 2, "a"), optout.Confirmed, false}, {wish(true, 1, "b"), optout.Outdated, false}},
		"in one second, start first":  {{wish(false, 1, "a"), optout.Confirmed, false}, {wish(true, 1, "b"), optout.Changed, true}},
		"in one second, stop first":   {{wish(true, 1, "a"), optout.Changed, true}, {wish(false, 1, "b"), optout.Outdated, true}},
		"a late start between stops":  {{wish(true, 1, "a"), optout.Changed, true}, {wish(true, 3, "c"), optout.Confirmed, true}, {wish(false, 2, "b"), optout.Outdated, true}},
		"a start without an opt-out":  {{wish(false, 1, "a"), optout.Confirmed, false}},
		"an old stop, replayed later": {{wish(true, 1, "a"), optout.Changed, true}, {wish(false, 2, "b"), optout.Changed, false}, {wish(true, 1, "a"), optout.Outdated, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who := optout.Number(number, strings.ReplaceAll(name, " ", "-"))
			for i, step := range steps {
				if got := change(t, s, step.to, who); got != step.want {
					t.Errorf("step %d: %v, want %v", i, got, step.want)
				}
				if got := out(t, s, []optout.Who{who}); got != step.out {
					t.Errorf("step %d: out %v", i, got)
				}
			}
		})
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	acme, bolt, all := optout.Number(number, "acme"), optout.Number(number, "bolt"), optout.Number(number, "")
	ann := optout.Person(event.Signer{Source: "acme", Provider: "clickwrap", Document: "d1", Recipient: "ann"})
	bob := optout.Person(event.Signer{Source: "acme", Provider: "clickwrap", Document: "d1", Recipient: "bob"})

	change(t, s, wish(true, 1, "a"), acme, all)
	if !out(t, s, []optout.Who{acme, all}) || out(t, s, []optout.Who{bolt, all}) {
		t.Error("an opt-out of a source counts for that source alone")
	}
	change(t, s, wish(true, 2, "b"), all, acme)
	if !out(t, s, []optout.Who{bolt, all}) {
		t.Error("an opt-out of the installation counts for every source")
	}
	if got := change(t, s, wish(false, 3, "c"), acme, all); got != optout.Changed || out(t, s, []optout.Who{acme, all}) || !out(t, s, []optout.Who{bolt, all}) {
		t.Errorf("the later START of a source is %v", got)
	}
	change(t, s, wish(true, 4, "d"), ann)
	if !out(t, s, []optout.Who{acme, all}, []optout.Who{ann}) || out(t, s, []optout.Who{acme, all}, []optout.Who{bob}) {
		t.Error("an opt-out of a document counts for its person alone")
	}
	if optout.Number("+1 (317) 555-1234", "acme") != acme || optout.Number("13175551234", "acme") != acme {
		t.Error("a number in another form is another number")
	}
}

// An entry of an older master key counts, and the first key that the settings name makes the next one.
func TestRotationOfTheMasterKey(t *testing.T) {
	t.Parallel()
	older, newer := strings.Repeat("o", 32), strings.Repeat("n", 32)
	before, js := open(t, older)
	during, after := beside(t, js, newer, older), beside(t, js, newer)
	who := optout.Number(number, "acme")
	change(t, before, wish(true, 1, "a"), who)
	if !out(t, during, []optout.Who{who}) {
		t.Error("the older key's entry does not count")
	}
	if got := change(t, during, wish(false, 2, "b"), who); got != optout.Changed || out(t, during, []optout.Who{who}) {
		t.Errorf("the start is %v", got)
	}
	change(t, during, wish(true, 3, "c"), who)
	if !out(t, after, []optout.Who{who}) {
		t.Error("the entry was not made with the newest key")
	}
}

// A reader of the bucket finds no number.
func TestNoNumberAtRest(t *testing.T) {
	t.Parallel()
	s, js := open(t, strings.Repeat("m", 32))
	change(t, s, wish(true, 1, "a"), optout.Number(number, "acme"))
	change(t, s, wish(true, 1, "a"), optout.Person(event.Signer{Source: "acme", Document: "d1", Recipient: "317-555"}))
	bucket, err := js.KeyValue(t.Context(), flow.OptOuts)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		e, err := bucket.Get(t.Context(), key)
		if err != nil || strings.Contains(key+string(e.Value()), "555") {
			t.Errorf("%s: %s, %v", key, e.Value(), err)
		}
	}
}

// Replicas that store the wishes of one person at the same time end with the latest.
func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	who := optout.Number(number, "acme")
	var all sync.WaitGroup
	results := make([]optout.Result, 8)
	for i := range results {
		all.Go(func() { // the last of the seconds is an opt-in
			var err error
			if results[i], err = s.Change(t.Context(), wish(i != 7, i, string(rune('a'+i))), who); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if out(t, s, []optout.Who{who}) || results[7] == optout.Outdated {
		t.Errorf("the latest wish does not count: %v", results)
	}
}
