package limit

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// An attacker can use one key for each of its addresses. The memory and the time of a call do not grow with the number of keys, and many keys
// do not free a key that is over its rate.
func TestUnboundedKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const minutes, strangers = 3, 200_000
		rate := Rate{Count: 60, Per: time.Minute, Burst: 60}
		l := NewLocal()
		take := func(key string) bool {
			_, ok, err := l.Take(context.Background(), key, rate, 0)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		use := func(key string) (taken int) {
			for range 200 {
				if take(key) {
					taken++
				}
			}
			return taken
		}
		if n := use("early"); n != 60 {
			t.Fatalf("%d calls at once of 60", n)
		}
		for i := range strangers { // each within its burst, so that its slot has an effect for a second
			take(fmt.Sprint("stranger ", i))
			if i == strangers/2 && use("late") > 60 {
				t.Error("one of the many keys is over its rate")
			}
		}
		if take("early") || take("late") {
			t.Error("a key that is over its rate was freed")
		}
		if len(l.keys) > mostKeys || len(l.shared) != 1 {
			t.Errorf("%d keys are kept, and %d shared tables", len(l.keys), len(l.shared))
		}
		// A call checks a bounded number of keys. The slots of the many keys are free after a minute, and new keys get their own slots again.
		time.Sleep(minutes * time.Minute)
		for i := range 1000 {
			if n := use(fmt.Sprint("later ", i)); n != 60 {
				t.Fatalf("new key %d after the many keys had %d calls of 60", i, n)
			}
		}
		if len(l.keys) > mostKeys {
			t.Errorf("%d keys are kept", len(l.keys))
		}
	})
}

// A key shares no slot with keys of another rate: otherwise a daily limit could block a limit per minute until the next day.
func TestCrowdedKeysOfOtherRates(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	daily, brisk := Rate{Count: 1, Per: 24 * time.Hour, Burst: 1}, Rate{Count: 60, Per: time.Minute, Burst: 60}
	for i := range 5 * mostKeys {
		_, _, _ = l.Take(t.Context(), fmt.Sprint("daily ", i), daily, 0)
	}
	for i := range 100 {
		if wait, ok, _ := l.Take(t.Context(), fmt.Sprint("brisk ", i), brisk, 0); !ok {
			t.Fatalf("another rate's key waits %v", wait)
		}
	}
	if err := l.Pause(t.Context(), "paused", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := l.Take(t.Context(), "paused", brisk, 0); ok {
		t.Error("a paused key of a full table is free")
	}
}

// The time of a call with few keys and with many: compare ns/op.
func BenchmarkTake(b *testing.B) {
	rate := Rate{Count: 60, Per: time.Minute, Burst: 60}
	for _, keys := range []int{100, 9_000, 1_000_000} {
		b.Run(strconv.Itoa(keys), func(b *testing.B) {
			names := make([]string, keys)
			for i := range names {
				names[i] = fmt.Sprint("address ", i)
			}
			l := NewLocal()
			b.ReportAllocs()
			for i := range b.N {
				_, _, _ = l.Take(b.Context(), names[i%keys], rate, 0)
			}
		})
	}
}
