package limit_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
)

var quick = limit.BreakerOptions{OpensAfter: 3, First: time.Second, Longest: 8 * time.Second}

// Each step is a call with its result, or a time that passes. The expected texts are the results of Begin and End.
func TestBreaker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ steps, want string }{
		"two failures in a row leave it closed":        {"fails fails works fails fails works", "go go go go go go"},
		"the third opens it":                           {"fails fails fails works", "go go go[open] wait 1s"},
		"an inconclusive call does not count":          {"fails fails nothing fails works", "go go go go[open] wait 1s"},
		"a probe that works closes it":                 {"fails fails fails 1s works fails", "go go go[open] probe[closed] go"},
		"the pauses before probes grow":                {"fails fails fails 1s fails 1s fails 1s fails 4s fails 8s fails 8s works", "go go go[open] probe wait 1s probe probe probe probe[closed]"},
		"an inconclusive probe is followed by another": {"fails fails fails 1s nothing fails", "go go go[open] probe probe"},
		"an hour without a call has no effect":         {"fails fails 1h fails works", "go go go[open] wait 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got []string
				note := ""
				b := limit.NewBreaker(quick, func(open bool, reason string) {
					if note = "[closed]"; open {
						note = "[open]"
					}
					if reason != "because" {
						t.Errorf("reason %q", reason)
					}
				})
				for _, step := range strings.Fields(c.steps) {
					if d, err := time.ParseDuration(step); err == nil {
						time.Sleep(d)
						continue
					}
					open, _, _ := b.State()
					pass, wait := b.Begin()
					if wait > 0 {
						got = append(got, fmt.Sprintf("wait %v", wait))
						continue
					}
					word := "go"
					if open != "" {
						word = "probe"
					}
					note = ""
					pass.End(map[string]limit.Result{"works": limit.Success, "fails": limit.Failure, "nothing": limit.Inconclusive}[step], "because")
					got = append(got, word+note)
				}
				if steps := strings.Join(got, " "); steps != c.want {
					t.Errorf("%s:\n got %s\nwant %s", c.steps, steps, c.want)
				}
			})
		})
	}
}

// The breaker allows one probe at a time. A call that was in flight when the breaker opened counts only if it worked.
func TestBreakerWithCallsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBreaker(quick, nil)
		early, late := begin(t, b), begin(t, b)
		for range 3 {
			begin(t, b).End(limit.Failure, "because")
		}
		early.End(limit.Failure, "because")
		time.Sleep(time.Second)
		probe := begin(t, b)
		if _, wait := b.Begin(); wait != time.Second {
			t.Errorf("a second probe has to wait %v", wait)
		}
		late.End(limit.Success, "")
		if reason, worked, closed := b.State(); reason != "" || worked != time.Now() || closed != time.Now() {
			t.Errorf("state %q, %v, %v", reason, worked, closed)
		}
		probe.End(limit.Failure, "because")
		begin(t, b).End(limit.Success, "")
	})
}

func TestBreakerOpenedByItsOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBreaker(limit.BreakerOptions{First: time.Minute, Longest: time.Hour}, nil)
		for range 10 {
			begin(t, b).End(limit.Failure, "because")
		}
		b.Open("first")
		b.Open("second")
		if reason, _, _ := b.State(); reason != "first" {
			t.Errorf("open because of %q", reason)
		}
		if _, wait := b.Begin(); wait != time.Minute {
			t.Errorf("wait %v", wait)
		}
		b.Close()
		begin(t, b).End(limit.Success, "")
	})
}

func begin(t *testing.T, b *limit.Breaker) limit.Pass {
	t.Helper()
	pass, wait := b.Begin()
	if wait > 0 {
		t.Fatalf("Begin returned a wait of %v", wait)
	}
	return pass
}

// A transport whose calls all fail stops making them. Its callers get the same error as from a rate limit.
func TestTransportWithABreaker(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]func() (*http.Response, error){
		"500":           func() (*http.Response, error) { return httptest.NewRecorder().Result(), nil },
		"no connection": func() (*http.Response, error) { return nil, errors.New("refused") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls, works := 0, false
				transport := limit.Transport{
					Limiter: limit.NewLocal(), Key: "k", Rate: limit.Rate{Count: 1000, Per: time.Second, Burst: 1000}, Circuit: limit.NewBreaker(quick, nil),
					Base: roundTrip(func() (*http.Response, error) {
						calls++
						a, err := response()
						if a != nil && !works {
							a.StatusCode = http.StatusInternalServerError
						}
						if works {
							return httptest.NewRecorder().Result(), nil
						}
						return a, err
					}),
				}
				call := func() error {
					a, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil))
					if a != nil {
						_ = a.Body.Close()
					}
					return err
				}
				for range 10 {
					if err := call(); calls == 3 && err != nil {
						var later *limit.LaterError
						if errors.As(err, &later) && (!later.Circuit || later.After != time.Second) {
							t.Errorf("%+v", later)
						}
					}
				}
				if calls != 3 {
					t.Errorf("%d calls, want 3", calls)
				}
				works = true
				time.Sleep(time.Second)
				for range 10 {
					if err := call(); err != nil {
						t.Error(err)
					}
				}
				if calls != 13 {
					t.Errorf("%d calls, want 13", calls)
				}
			})
		})
	}
}

type roundTrip func() (*http.Response, error)

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return f() }
