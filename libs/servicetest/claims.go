package servicetest

import (
	"context"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
)

// Ends records the end of each claim of a bench's dedupe stores.
type Ends struct{ ended chan end }

// recorded is a dedupe store whose claims' ends are recorded. A service may open several, at the same time.
type recorded struct {
	dedupe.Store
	ended chan<- end
}

type end struct {
	id  string
	how string
}

// RecordEnds records the ends of the claims in each dedupe store that the bench opens from now on. Call it before Start.
func (b *Bench) RecordEnds() *Ends {
	e := &Ends{ended: make(chan end, 1024)}
	open := b.Env.Claims
	b.Env.Claims = func(o dedupe.Options) dedupe.Store {
		return recorded{Store: open(o), ended: e.ended}
	}
	return e
}

// Confirm implements dedupe.Store.
func (r recorded) Confirm(ctx context.Context, done ...dedupe.Done) error {
	err := r.Store.Confirm(ctx, done...)
	for _, d := range done {
		r.ended <- end{d.ID, "confirmed"}
	}
	return err
}

// Release implements dedupe.Store.
func (r recorded) Release(ctx context.Context, owner string, outcome dedupe.Outcome, ids ...string) error {
	err := r.Store.Release(ctx, owner, outcome, ids...)
	how := "undone"
	if outcome == dedupe.Unknown {
		how = "unknown"
	}
	for _, id := range ids {
		r.ended <- end{id, how}
	}
	return err
}

// First returns how each of the claims ended first: "confirmed", "undone" or "unknown".
func (e *Ends) First(t testing.TB, count int) map[string]string {
	t.Helper()
	found := map[string]string{}
	late := time.After(timeout)
	for len(found) < count {
		select {
		case next := <-e.ended:
			if _, ok := found[next.id]; !ok {
				found[next.id] = next.how
			}
		case <-late:
			t.Fatalf("%d of %d claims ended: %v", len(found), count, found)
		}
	}
	return found
}

// Of waits for the next end of one claim, and returns its kind. It ignores the ends of other claims until then.
func (e *Ends) Of(t testing.TB, id string) string {
	t.Helper()
	late := time.After(timeout)
	for {
		select {
		case next := <-e.ended:
			if next.id == id {
				return next.how
			}
		case <-late:
			t.Fatalf("the claim of %s did not end", id)
		}
	}
}
