package limit_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// scripts returns how many scripts a Redis has run.
func scripts(t *testing.T, client *redis.Client) (n int) {
	t.Helper()
	stats, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stats) {
		if rest, found := strings.CutPrefix(line, "cmdstat_evalsha:calls="); found {
			calls, _, _ := strings.Cut(rest, ",")
			if n, err = strconv.Atoi(calls); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// Two processes that make calls as fast as they may take several slots at once, and together stay below the rate.
func TestSlotsOfAHighRateAreLeased(t *testing.T) {
	t.Parallel()
	const perSecond, calls = 2000, 1000
	url := realtest.Redis(t).URL
	client := realtest.RedisClient(t, url)
	rate := limit.Rate{Count: perSecond, Per: time.Second, Burst: 1}
	var all errgroup.Group
	var made atomic.Int64
	began := time.Now()
	for _, l := range []limit.Limiter{redisLimiter(t, url), redisLimiter(t, url)} {
		for range 4 {
			all.Go(func() error {
				for made.Add(1) <= calls {
					if err := limit.Wait(t.Context(), l, "vonage/account", rate, time.Minute); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	// Both may use slots that are 10 ms old.
	if took := time.Since(began); took < (calls-1)*time.Second/perSecond-20*time.Millisecond {
		t.Errorf("%d calls in %v: above the rate", calls, took)
	}
	before := scripts(t, client)
	if before > calls {
		t.Errorf("%d scripts for %d calls", before, calls)
	}
	l := redisLimiter(t, url)
	for range 300 {
		if _, taken, err := l.Take(t.Context(), "vonage/other", limit.Rate{Count: 1000, Per: time.Second, Burst: 1000}, time.Minute); err != nil || !taken {
			t.Fatal(taken, err)
		}
	}
	if n := scripts(t, client) - before; n > 150 {
		t.Errorf("%d scripts for 300 slots that are free at once", n)
	}
}

func TestSlotsOfALowRateAreTakenOneByOne(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t).URL
	client := realtest.RedisClient(t, url)
	one, other := redisLimiter(t, url), redisLimiter(t, url)
	before := 0
	for n := range 20 {
		wait, taken, err := one.Take(t.Context(), "vonage/account", limit.Rate{Count: 10, Per: time.Second, Burst: 1}, time.Minute)
		if err != nil || !taken || wait > time.Duration(n)*100*time.Millisecond {
			t.Fatalf("slot %d in %v, %v, %v", n, wait, taken, err)
		}
		if n == 0 {
			before = scripts(t, client) // the first call may load the script
		}
	}
	if n := scripts(t, client) - before; n != 19 {
		t.Errorf("%d scripts for 19 slots", n)
	}
	if wait, _, err := other.Take(t.Context(), "vonage/account", limit.Rate{Count: 10, Per: time.Second, Burst: 1}, time.Minute); err != nil || wait < time.Second/2 {
		t.Errorf("another replica's slot is in %v, %v", wait, err)
	}
}

// A pause ends the lease of the process that pauses.
func TestAPauseEndsTheLease(t *testing.T) {
	t.Parallel()
	l := redisLimiter(t, realtest.Redis(t).URL)
	rate := limit.Rate{Count: 1000, Per: time.Second, Burst: 1000}
	for range 100 {
		if _, taken, err := l.Take(t.Context(), "vonage/account", rate, time.Minute); err != nil || !taken {
			t.Fatal(taken, err)
		}
	}
	if err := l.Pause(t.Context(), "vonage/account", time.Minute); err != nil {
		t.Fatal(err)
	}
	if wait, taken, err := l.Take(t.Context(), "vonage/account", rate, time.Second); err != nil || taken || wait < 50*time.Second {
		t.Errorf("a slot in %v after a pause of a minute, taken %v, %v", wait, taken, err)
	}
}

// Concurrent callers share pipelines; each gets its own result, also from a Redis that does not know the script yet.
func TestConcurrentCallersGetTheirOwnResult(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.Redis(t).URL)
	l := limit.NewRedis(client, keyring.Ring{})
	tally := limit.Tally{Key: "a", Quotas: []limit.Quota{{Most: 30, Per: time.Hour}}}
	var all errgroup.Group
	var counted, full atomic.Int64
	for n := range 100 {
		all.Go(func() error {
			if n == 50 {
				client.ScriptFlush(context.Background())
			}
			got, _, err := l.Count(t.Context(), "item-"+strconv.Itoa(n), tally)
			if got == limit.Counted {
				counted.Add(1)
			} else {
				full.Add(1)
			}
			return err
		})
	}
	if err := all.Wait(); err != nil || counted.Load() != 30 || full.Load() != 70 {
		t.Errorf("%d counted, %d over the quota, %v; want 30 and 70", counted.Load(), full.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Count(ctx, "item", tally); err == nil {
		t.Error("a cancelled call has a result")
	}
}
