package providers_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
)

// Two replicas that share their slots through Redis, and two services of one process.
func TestASourcesRateHoldsForAllCallers(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (one, other limit.Limiter){
		"replicas": func(t *testing.T) (limit.Limiter, limit.Limiter) {
			url := realtest.Redis(t).URL
			return redisLimiter(t, url), redisLimiter(t, url)
		},
		"one process": func(*testing.T) (limit.Limiter, limit.Limiter) {
			shared := limit.NewLocal()
			return shared, shared
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(http.StatusNotFound)
			}))
			t.Cleanup(server.Close)
			one, other := open(t)
			first, second := sourcesAt(t, server.URL, one), sourcesAt(t, server.URL, other)

			// One call a minute, and ten at once: the next slot is a minute away, which is beyond the maximum wait.
			for i := range 12 {
				asked := first
				if i%2 == 1 {
					asked = second
				}
				_, err := asked[slow].API.Document(t.Context(), "D")
				var later *limit.LaterError
				if held := errors.As(err, &later); held != (i >= 10) || err == nil {
					t.Errorf("call %d: %v", i+1, err)
				}
			}
			if calls.Load() != 10 {
				t.Errorf("the provider was called %d times, want 1", calls.Load())
			}
			if _, err := second[brisk].API.Document(t.Context(), "D"); errors.As(err, new(*limit.LaterError)) {
				t.Error("another source was limited too:", err)
			}
		})
	}
}

// Unlimited clicks do not use up the enricher's calls, and the reverse. Both together stay within the rate.
func TestClicksAndEventsHaveBudgetsOfTheirOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	for name, budgets := range map[string][2]providers.Budget{
		"clicks without end":    {providers.ForClicks, providers.ForEvents},
		"callbacks without end": {providers.ForEvents, providers.ForClicks},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := limit.NewLocal()
			greedy, other := sourcesWithin(t, budgets[0], server.URL, shared), sourcesWithin(t, budgets[1], server.URL, shared)
			held := 0
			for range 50 {
				if _, err := greedy[slow].API.Document(t.Context(), "D"); errors.As(err, new(*limit.LaterError)) {
					held++
				}
			}
			if held != 40 {
				t.Errorf("%d of 50 calls were limited", held)
			}
			if _, err := other[slow].API.Document(t.Context(), "D"); errors.As(err, new(*limit.LaterError)) {
				t.Error("the other budget's calls are limited too:", err)
			}
		})
	}
}

func TestAPauseHoldsForAllCallers(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	shared := limit.NewLocal()
	first, second := sourcesAt(t, server.URL, shared), sourcesAt(t, server.URL, shared)

	_, err := first[brisk].API.Document(t.Context(), "D")
	var call *pack.CallError
	if !errors.As(err, &call) || call.Status != http.StatusTooManyRequests || outcome.Of(err).After().Seconds() != 60 {
		t.Error(err)
	}
	for _, sources := range []providers.Sources{first, second} {
		var later *limit.LaterError
		if _, err := sources[brisk].API.Document(t.Context(), "D"); !errors.As(err, &later) || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	}
	if _, err := second[slow].API.Document(t.Context(), "D"); !errors.As(err, &call) || call.Status != http.StatusTooManyRequests || calls.Load() != 2 {
		t.Error("control: call for another source:", err)
	}
}

func TestCredentialsStayWithTheirProvider(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(thief.Close)
	var home atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		home.Add(1)
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)

	sources := sourcesAt(t, server.URL, limit.NewLocal())
	for key, src := range sources {
		if key == none {
			continue
		}
		_, err := src.API.Document(t.Context(), "D")
		var call *pack.CallError
		if !errors.As(err, &call) || call.Status != http.StatusTemporaryRedirect {
			t.Errorf("%v: %v", key, err)
		}
		wantNoSecret(t, err)
	}
	if elsewhere.Load() != 0 || int(home.Load()) != len(sources)-1 {
		t.Errorf("%d calls to the provider's host, %d to another host", home.Load(), elsewhere.Load())
	}
}

func TestSourcesWithoutAUsableAPI(t *testing.T) {
	t.Parallel()
	sources := sourcesAt(t, "http://127.0.0.1:1", limit.NewLocal())
	if src, ok := sources[none]; !ok || src.API != nil || src.Settings.Name != none.Name {
		t.Errorf("a source without API settings: %+v", src)
	}

	_, err := providers.Open([]config.Source{
		providers.NewSource("clickwrap", "a", "api.base_url=http://127.0.0.1"),
		providers.NewSource("pleasesign", "b", "api.key="+secret),
		providers.NewSource("esign-v1", "c", "api.secret="+secret),
		{Name: "d", Provider: "acmesign"},
	}, providers.ForEvents, limit.NewLocal(), nil, nil)
	for _, part := range []string{"source a: api.token", "source b: api.secret", "source c: api.user", `source d: no provider is named "acmesign"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	wantNoSecret(t, err)
}

const secret = "api-pass-word"

var (
	slow  = providers.SourceKey{Name: "slow", Provider: "clickwrap"}
	brisk = providers.SourceKey{Name: "brisk", Provider: "clickwrap"}
	none  = providers.SourceKey{Name: "none", Provider: "clickwrap"}
)

// sourcesAt returns one source for each provider and some more, all with one server.
func sourcesAt(t *testing.T, base string, limits limit.Limiter) providers.Sources {
	t.Helper()
	return sourcesWithin(t, providers.ForEvents, base, limits)
}

func sourcesWithin(t *testing.T, budget providers.Budget, base string, limits limit.Limiter) providers.Sources {
	t.Helper()
	source := func(provider, name string, settings ...string) config.Source {
		return providers.NewSource(provider, name, append(settings, "api.base_url="+base)...)
	}
	sources, err := providers.Open([]config.Source{
		source(slow.Provider, slow.Name, "api.token="+secret, "api.per_minute=1"),
		source(brisk.Provider, brisk.Name, "api.token="+secret),
		providers.NewSource(none.Provider, none.Name),
		source("esign-v1", "legal", "api.user=user", "api.secret="+secret),
		source("pleasesign", "onboarding", "api.key=key", "api.secret="+secret),
	}, budget, limits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func redisLimiter(t *testing.T, url string) limit.Limiter {
	t.Helper()
	return limit.NewRedis(realtest.RedisClient(t, url), keyring.Ring{})
}

func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("%q", err)
	}
}
