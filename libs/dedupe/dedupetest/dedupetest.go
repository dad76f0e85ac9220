// Package dedupetest is the conformance suite of dedupe.Store. Every backend passes it.
package dedupetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/dedupe"
)

// Open opens an empty store. The function that it returns opens the same backend with other options; the suite calls it several times.
type Open func(t *testing.T) func(dedupe.Options) dedupe.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, func(dedupe.Options) dedupe.Store){
		"an unknown id is claimed by one and held for others":       claimedAndHeld,
		"a repeated claim of one owner gets the same result":        repeated,
		"a confirmed id stays confirmed, with its result":           confirmed,
		"a released id is free":                                     released,
		"an id released with an unknown outcome is pending":         unknown,
		"an expired claim is pending, for one claimant":             expired,
		"a pending claim released as undone stays pending":          pendingStays,
		"only the owner releases":                                   othersClaim,
		"a confirmation survives a late release":                    lateRelease,
		"results are in the order of the ids":                       ordered,
		"one of many concurrent claimants gets it":                  race,
		"namespaces are separate":                                   namespaces,
		"a claim with a cancelled context fails":                    ended,
		"confirming needs no claim, and is safe to repeat":          confirmFreely,
		"a repeated take-over of an expired claim is pending again": repeatedTakeOver,
		"an owner who claims again extends the lease":               extended,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// The usual options: a lease that is longer than any test.
var usual = dedupe.Options{Namespace: "test", Lease: time.Minute, Remember: time.Hour}

func claimedAndHeld(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	want(t, s, "b", "x", dedupe.Held)
}

func repeated(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	want(t, s, "a", "x", dedupe.Claimed)
}

func confirmed(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "plain", dedupe.Claimed)
	want(t, s, "a", "rich", dedupe.Claimed)
	result := []byte("0|\x00\xff result")
	must(t, s.Confirm(t.Context(), dedupe.Done{ID: "plain"}, dedupe.Done{ID: "rich", Result: result}))
	got, err := s.Claim(t.Context(), "b", "plain", "rich")
	must(t, err)
	expected := []dedupe.Claim{{State: dedupe.Confirmed}, {State: dedupe.Confirmed, Result: result}}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func released(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Release(t.Context(), "a", dedupe.Undone, "x"))
	want(t, s, "b", "x", dedupe.Claimed)
}

func unknown(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Release(t.Context(), "a", dedupe.Unknown, "x"))
	want(t, s, "b", "x", dedupe.Pending)
	want(t, s, "c", "x", dedupe.Held)
}

func expired(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	short := usual
	short.Lease = 20 * time.Millisecond
	s := open(short)
	want(t, s, "a", "x", dedupe.Claimed)
	long := open(usual)
	until(t, func() bool { return state(t, long, "b", "x") == dedupe.Pending })
	want(t, long, "c", "x", dedupe.Held)
}

func repeatedTakeOver(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Release(t.Context(), "a", dedupe.Unknown, "x"))
	want(t, s, "b", "x", dedupe.Pending)
	want(t, s, "b", "x", dedupe.Pending)
}

// The claim is made with a lease of a minute and extended by one of 20 ms, so that the end of the lease shows the extension.
func extended(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	long := open(usual)
	short := usual
	short.Lease = 20 * time.Millisecond
	s := open(short)
	want(t, long, "a", "fresh", dedupe.Claimed)
	want(t, long, "a", "taken-over", dedupe.Claimed)
	must(t, long.Release(t.Context(), "a", dedupe.Unknown, "taken-over"))
	want(t, long, "b", "taken-over", dedupe.Pending)
	want(t, s, "a", "fresh", dedupe.Claimed)
	want(t, s, "b", "taken-over", dedupe.Pending)
	for _, id := range []string{"fresh", "taken-over"} {
		until(t, func() bool { return state(t, long, "c", id) == dedupe.Pending })
	}
}

func pendingStays(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Release(t.Context(), "a", dedupe.Unknown, "x"))
	want(t, s, "b", "x", dedupe.Pending)
	must(t, s.Release(t.Context(), "b", dedupe.Undone, "x"))
	want(t, s, "c", "x", dedupe.Pending)
}

func othersClaim(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Release(t.Context(), "b", dedupe.Undone, "x"))
	want(t, s, "b", "x", dedupe.Held)
}

func lateRelease(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "x", dedupe.Claimed)
	must(t, s.Confirm(t.Context(), dedupe.Done{ID: "x"}))
	must(t, s.Release(t.Context(), "a", dedupe.Undone, "x"))
	must(t, s.Release(t.Context(), "a", dedupe.Unknown, "x"))
	want(t, s, "b", "x", dedupe.Confirmed)
}

func ordered(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	want(t, s, "a", "held", dedupe.Claimed)
	must(t, s.Confirm(t.Context(), dedupe.Done{ID: "done"}))
	got, err := s.Claim(t.Context(), "b", "new", "held", "done", "newer")
	must(t, err)
	expected := []dedupe.Claim{{State: dedupe.Claimed}, {State: dedupe.Held}, {State: dedupe.Confirmed}, {State: dedupe.Claimed}}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func race(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	const claimants = 16
	states := make([]dedupe.State, claimants)
	var all sync.WaitGroup
	for i := range claimants {
		all.Go(func() { states[i] = state(t, s, dedupe.NewOwner(), "x") })
	}
	all.Wait()
	counts := map[dedupe.State]int{}
	for _, st := range states {
		counts[st]++
	}
	if diff := cmp.Diff(map[dedupe.State]int{dedupe.Claimed: 1, dedupe.Held: claimants - 1}, counts); diff != "" {
		t.Errorf("number of claimants by state (-want +got):\n%s", diff)
	}
}

func namespaces(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	other := usual
	other.Namespace = "other"
	want(t, open(usual), "a", "x", dedupe.Claimed)
	want(t, open(other), "a", "x", dedupe.Claimed)
	must(t, open(usual).Confirm(t.Context(), dedupe.Done{ID: "x"}))
	want(t, open(other), "b", "x", dedupe.Held)
}

func ended(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(usual).Claim(ctx, "a", "x"); err == nil {
		t.Error("a claim with an ended context succeeded")
	}
}

func confirmFreely(t *testing.T, open func(dedupe.Options) dedupe.Store) {
	s := open(usual)
	must(t, s.Confirm(t.Context(), dedupe.Done{ID: "x"}))
	must(t, s.Confirm(t.Context(), dedupe.Done{ID: "x"}))
	want(t, s, "a", "x", dedupe.Confirmed)
}

func state(t *testing.T, s dedupe.Store, owner, id string) dedupe.State {
	t.Helper()
	claims, err := s.Claim(t.Context(), owner, id)
	if err != nil || len(claims) != 1 {
		t.Errorf("claim: %d results, %v", len(claims), err)
		return 0
	}
	return claims[0].State
}

func want(t *testing.T, s dedupe.Store, owner, id string, expected dedupe.State) {
	t.Helper()
	if got := state(t, s, owner, id); got != expected {
		t.Errorf("owner %s claims %s: state %d, want %d", owner, id, got, expected)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition that becomes true with time (a lease that ends by Redis's clock).
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if holds() {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("ended while waiting")
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatal("the condition did not become true within 10 s")
}
