package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// hourly is so slow that the test's own run time does not change a wait rounded to minutes.
var hourly = limit.Rate{Count: 1, Per: time.Hour, Burst: 3}

const ever = 1000 * time.Hour

func redisLimiter(t *testing.T, url string) *limit.Redis {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.DialerRetries, o.DialTimeout = -1, 1, time.Second
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return limit.NewRedis(client, keyring.Ring{})
}

// With a master key, a name in Redis shows only the first word of its key. Without one, the name is the same as in earlier versions.
func TestNamesInRedis(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.Redis(t).URL)
	all := map[string]bool{}
	for master, want := range map[string]string{
		"": "^signrelay:limit:{api/clickwrap/acme}:next$", "first": "^signrelay:limit:{api/[-_A-Za-z0-9]{16}}:next$", "second": "^signrelay:limit:{api/[-_A-Za-z0-9]{16}}:next$",
	} {
		var ring keyring.Ring
		if master != "" {
			ring = keyring.New([]string{master})
		}
		take(t, limit.NewRedis(client, ring), "api/clickwrap/acme", ever, 0, true)
		names, err := client.Keys(t.Context(), "*").Result()
		if err != nil || len(names) != 1 || !regexp.MustCompile(want).MatchString(names[0]) || all[names[0]] {
			t.Errorf("%q: %q, %v", master, names, err)
		}
		all[names[0]] = true
		client.FlushDB(t.Context())
	}
}

// Entries of another writer under a key stop calls for an hour at most, and cause no other harm.
func TestEntriesOfOthers(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.Redis(t).URL)
	l := limit.NewRedis(client, keyring.Ring{})
	tomorrow := strconv.FormatInt(time.Now().Add(24*time.Hour).UnixMicro(), 10)
	for i, entry := range []string{tomorrow, "9999999999999999999", "1e300", "inf", "nan", "-1", "", "x", "0x"} {
		for _, what := range []string{"next", "paused"} {
			key := fmt.Sprint("link/", i, what)
			if err := client.Set(t.Context(), "signrelay:limit:{"+key+"}:"+what, entry, time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
			take(t, l, key, 0, 0, true)
			if err := l.Pause(t.Context(), key, 30*time.Minute); err != nil {
				t.Fatal(err)
			}
			take(t, l, key, 0, 30, false)
		}
	}
}

// take takes a slot and checks that it is the given number of minutes away.
func take(t *testing.T, l limit.Limiter, key string, maxWait time.Duration, minutes int, taken bool) {
	t.Helper()
	wait, got, err := l.Take(t.Context(), key, hourly, maxWait)
	if err != nil {
		t.Fatal(err)
	}
	if rounded := wait.Round(time.Minute); rounded != time.Duration(minutes)*time.Minute || got != taken {
		t.Errorf("a slot in %v, taken %v; want %d minutes, %v", wait, got, minutes, taken)
	}
}

func TestLimiters(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) limit.Limiter{
		"of one process": func(*testing.T) limit.Limiter { return limit.NewLocal() },
		"through Redis":  func(t *testing.T) limit.Limiter { return redisLimiter(t, realtest.Redis(t).URL) },
		"without Redis":  func(t *testing.T) limit.Limiter { return redisLimiter(t, "redis://127.0.0.1:1/0") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)

			// A burst, then an even spread.
			for _, minutes := range []int{0, 0, 0, 60, 120} {
				take(t, l, "a", ever, minutes, true)
			}
			// A caller that does not wait long enough takes no slot.
			take(t, l, "a", time.Hour, 180, false)
			take(t, l, "a", time.Hour, 180, false)
			take(t, l, "a", ever, 180, true)
			// Another key has its own slots.
			take(t, l, "b", 0, 0, true)

			// A pause holds for all callers, and there is no burst after it. A shorter pause does not end it.
			for _, d := range []time.Duration{30 * time.Minute, time.Minute} {
				if err := l.Pause(t.Context(), "c", d); err != nil {
					t.Fatal(err)
				}
			}
			take(t, l, "c", 0, 30, false)
			take(t, l, "c", ever, 30, true)
			take(t, l, "c", ever, 90, true)
		})
	}
}

func TestReplicasShareOneRate(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t).URL
	one, other := redisLimiter(t, url), redisLimiter(t, url)
	take(t, one, "a", ever, 0, true)
	take(t, other, "a", ever, 0, true)
	take(t, one, "a", ever, 0, true)
	take(t, other, "a", ever, 60, true)
	if err := one.Pause(t.Context(), "b", 10*time.Hour); err != nil { // an hour is the longest
		t.Fatal(err)
	}
	take(t, other, "b", 0, 60, false)
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	l := limit.NewLocal()
	brisk := limit.Rate{Count: 1000, Per: time.Second, Burst: 1}
	start := time.Now()
	for range 11 {
		if err := limit.Wait(t.Context(), l, "a", brisk, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < 10*time.Millisecond {
		t.Errorf("11 calls at 1,000 a second took %v", took)
	}

	if err := l.Pause(t.Context(), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	var later *limit.LaterError
	if err := limit.Wait(t.Context(), l, "a", brisk, time.Minute); !errors.As(err, &later) || later.After < 59*time.Minute {
		t.Errorf("slot beyond the maximum wait: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := limit.Wait(ended, l, "a", brisk, 2*time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller cancelled: %v", err)
	}
}

// A Retry-After holds for all callers that share the key, and for no other key.
func TestTransportHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		retryAfter string
		paused     bool
	}{
		"throttled":          {429, "30", true},
		"unavailable":        {503, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), true},
		"throttled, no time": {429, "", false},
		"success":            {200, "30", false},
		"server error":       {500, "30", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
			}))
			t.Cleanup(server.Close)
			shared := limit.NewLocal()
			call := func(key string) error {
				client := &http.Client{Transport: limit.Transport{
					Base: server.Client().Transport, Limiter: shared, Key: key, MaxWait: time.Second,
					Rate: limit.Rate{Count: 1000, Per: time.Second, Burst: 10},
				}}
				response, err := client.Post(server.URL, "text/plain", strings.NewReader("x"))
				if err == nil {
					_ = response.Body.Close()
				}
				return err
			}
			if err := call("a"); err != nil {
				t.Fatal(err)
			}
			err := call("a")
			var later *limit.LaterError
			if paused := errors.As(err, &later); paused != tt.paused || (err != nil && !paused) {
				t.Errorf("the next call: %v; paused should be %v", err, tt.paused)
			}
			if tt.paused && calls.Load() != 1 {
				t.Errorf("the server was called %d times, want 1", calls.Load())
			}
			if err := call("b"); err != nil {
				t.Errorf("under another key: %v", err)
			}
		})
	}
}
