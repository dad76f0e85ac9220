package limit_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// tally is of a person of whom 2 things an hour and 3 a day may be counted, 4 of all people.
func tally(person string) limit.Tally {
	return limit.Tally{
		Key: person, Quotas: []limit.Quota{{Most: 2, Per: time.Hour}, {Most: 3, Per: 24 * time.Hour}},
		Totals: []limit.Total{{Key: "free", Quota: limit.Quota{Per: time.Hour}}, {Key: "all", Quota: limit.Quota{Most: 4, Per: 24 * time.Hour}}},
	}
}

func count(t *testing.T, l limit.Limiter, id, person string, want int) {
	t.Helper()
	if full, err := l.Count(t.Context(), id, tally(person)); err != nil || full != want {
		t.Errorf("%s of %s: %d, %v; want %d", id, person, full, err, want)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) limit.Limiter{
		"of one process":    func(*testing.T) limit.Limiter { return limit.NewLocal() },
		"through Redis":     func(t *testing.T) limit.Limiter { return redisLimiter(t, realtest.Redis(t).URL) },
		"Redis that is not": func(t *testing.T) limit.Limiter { return redisLimiter(t, "redis://127.0.0.1:1/0") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			for range 3 { // the same thing is counted once
				count(t, l, "1", "a", limit.Counted)
			}
			count(t, l, "2", "a", limit.Counted)
			count(t, l, "3", "a", 0) // an hour's are full
			count(t, l, "2", "a", limit.Counted)
			count(t, l, "4", "b", limit.Counted) // another person has an hour of his own
			count(t, l, "5", "c", limit.Counted)
			count(t, l, "6", "d", 3) // all people's are full; what is refused was counted nowhere
			count(t, l, "6", "d", 3)
			count(t, l, "5", "c", limit.Counted)
		})
	}
}

// Replicas count together, and a thing that two of them count at once is one.
func TestReplicasCountTogether(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t).URL
	replicas := []limit.Limiter{redisLimiter(t, url), redisLimiter(t, url)}
	var all sync.WaitGroup
	var counted atomic.Int32
	for i := range 40 {
		all.Go(func() {
			full, err := replicas[i%2].Count(t.Context(), strconv.Itoa(i/4), limit.Tally{Key: "x", Quotas: []limit.Quota{{Most: 6, Per: time.Hour}}})
			if err != nil {
				t.Error(err)
			}
			if full == limit.Counted {
				counted.Add(1)
			}
		})
	}
	all.Wait()
	if n := counted.Load(); n != 24 {
		t.Errorf("%d of 40 attempts on 10 things were counted, want the 24 on 6", n)
	}
}

// Time frees what was counted: an hour after each thing, and a day after the first of all.
func TestCountInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := limit.NewLocal()
		count(t, l, "1", "a", limit.Counted)
		time.Sleep(30 * time.Minute)
		count(t, l, "2", "a", limit.Counted)
		time.Sleep(31 * time.Minute)
		count(t, l, "3", "a", limit.Counted)
		count(t, l, "4", "a", 0)
		time.Sleep(2 * time.Hour)
		count(t, l, "4", "a", 1) // three in a day
		count(t, l, "1", "a", limit.Counted)
		count(t, l, "5", "b", limit.Counted)
		count(t, l, "6", "c", 3)
		time.Sleep(22 * time.Hour)
		count(t, l, "6", "c", limit.Counted)
	})
}
