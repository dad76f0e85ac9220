package limit_test

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// tally allows 2 items an hour and 3 a day for one person, and 4 a day for all people together.
func tally(person string) limit.Tally {
	return limit.Tally{
		Key: person, Quotas: []limit.Quota{{Most: 2, Per: time.Hour}, {Most: 3, Per: 24 * time.Hour}},
		Totals: []limit.Total{{Key: "free", Quota: limit.Quota{Most: 1000, Per: time.Hour}}, {Key: "all", Quota: limit.Quota{Most: 4, Per: 24 * time.Hour}}},
	}
}

func count(t *testing.T, l limit.Limiter, id, person string, want int) {
	t.Helper()
	if full, _, err := l.Count(t.Context(), id, tally(person)); err != nil || full != want {
		t.Errorf("%s of %s: %d, %v; want %d", id, person, full, err, want)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) limit.Limiter{
		"of one process": func(*testing.T) limit.Limiter { return limit.NewLocal() },
		"through Redis":  func(t *testing.T) limit.Limiter { return redisLimiter(t, realtest.Redis(t).URL) },
		"without Redis":  func(t *testing.T) limit.Limiter { return redisLimiter(t, "redis://127.0.0.1:1/0") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			for range 3 { // the same item is counted once
				count(t, l, "1", "a", limit.Counted)
			}
			count(t, l, "2", "a", limit.Counted)
			count(t, l, "3", "a", 0) // the hour's quota is full
			count(t, l, "2", "a", limit.Counted)
			count(t, l, "4", "b", limit.Counted) // another person has a separate quota
			count(t, l, "5", "c", limit.Counted)
			count(t, l, "6", "d", 3) // the total is full; a refused item is not counted anywhere
			count(t, l, "6", "d", 3)
			count(t, l, "5", "c", limit.Counted)
		})
	}
}

// Redis has keys only for counters with a limit.
func TestWithoutALimitNothingIsStored(t *testing.T) {
	t.Parallel()
	server := realtest.Redis(t)
	l, client := redisLimiter(t, server.URL), realtest.RedisClient(t, server.URL)
	keys := func(id string, most, want int) []string {
		t.Helper()
		got, _, err := l.Count(t.Context(), id, limit.Tally{
			Key: "person", Quotas: []limit.Quota{{Per: time.Hour}, {Per: 24 * time.Hour}},
			Totals: []limit.Total{{Key: "document", Quota: limit.Quota{Per: 24 * time.Hour}}, {Key: "source", Quota: limit.Quota{Most: most, Per: time.Hour}}},
		})
		if err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
		all, err := client.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Error(err)
		}
		slices.Sort(all)
		return all
	}
	if got := keys("1", 0, limit.Counted); len(got) > 0 {
		t.Errorf("without a limit: %q", got)
	}
	limited := []string{"signrelay:limit:{person}:count", "signrelay:limit:{source}:count"}
	if diff := cmp.Diff(limited, keys("1", 1, limit.Counted)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(limited, keys("2", 1, 3)); diff != "" { // the source's total is full; its index counts the document's
		t.Error(diff)
	}
}

// Replicas count together, and an item that two of them count at once counts once.
func TestReplicasCountTogether(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t).URL
	replicas := []limit.Limiter{redisLimiter(t, url), redisLimiter(t, url)}
	var all sync.WaitGroup
	var counted atomic.Int32
	for i := range 40 {
		all.Go(func() {
			full, _, err := replicas[i%2].Count(t.Context(), strconv.Itoa(i/4), limit.Tally{Key: "x", Quotas: []limit.Quota{{Most: 6, Per: time.Hour}}})
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
		t.Errorf("%d of 40 attempts on 10 items were counted, want 24 (on 6 items)", n)
	}
}

// Quotas become free with time: one hour after each item, and the total one day after its first item.
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

// The time after which a full quota has room is right: an item is counted then, and not before.
func TestAFullQuotaSaysWhenItHasRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := limit.NewLocal()
		full := func(id string) time.Duration {
			t.Helper()
			got, room, err := l.Count(t.Context(), id, tally("a"))
			if err != nil || got == limit.Counted || room <= 0 {
				t.Fatalf("%s: %d, %v, %v", id, got, room, err)
			}
			return room
		}
		count(t, l, "1", "a", limit.Counted)
		time.Sleep(10 * time.Minute)
		count(t, l, "2", "a", limit.Counted)
		if room := full("3"); room != 50*time.Minute {
			t.Errorf("the hour's quota has room in %v", room)
		}
		time.Sleep(50*time.Minute - 1)
		count(t, l, "3", "a", 0)
		time.Sleep(time.Nanosecond)
		count(t, l, "3", "a", limit.Counted)
		time.Sleep(time.Hour)
		if room := full("4"); room != 22*time.Hour {
			t.Errorf("the day's quota has room in %v", room)
		}
	})
}

// Redis says the same.
func TestAFullQuotaInRedisSaysWhenItHasRoom(t *testing.T) {
	t.Parallel()
	l := redisLimiter(t, realtest.Redis(t).URL)
	short := limit.Tally{Key: "a", Quotas: []limit.Quota{{Most: 100, Per: time.Hour}, {Most: 2, Per: 2 * time.Second}}}
	began := time.Now()
	for _, id := range []string{"1", "2"} {
		if full, _, err := l.Count(t.Context(), id, short); err != nil || full != limit.Counted {
			t.Fatalf("%d, %v", full, err)
		}
	}
	full, room, err := l.Count(t.Context(), "3", short)
	if err != nil || full != 1 || room <= 0 || room > 2*time.Second || room < 2*time.Second-time.Since(began)-time.Millisecond {
		t.Fatalf("%d, %v, %v after %v", full, room, err, time.Since(began))
	}
	select { // the clock of Redis cannot be moved
	case <-time.After(room):
	case <-t.Context().Done():
	}
	if full, _, err := l.Count(t.Context(), "3", short); err != nil || full != limit.Counted {
		t.Errorf("after %v: %d, %v", room, full, err)
	}
	total := limit.Tally{Key: "b", Totals: []limit.Total{{Key: "all", Quota: limit.Quota{Most: 1, Per: time.Hour}}}}
	_, _, _ = l.Count(t.Context(), "4", total)
	if full, room, err := l.Count(t.Context(), "5", total); err != nil || full != 0 || room < 59*time.Minute || room > time.Hour {
		t.Errorf("the total: %d, %v, %v", full, room, err)
	}
}
