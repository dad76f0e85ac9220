package shortener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

var policy = flow.StageNamed(flow.Shortener).Policy

var unavailable = outcome.Failure(outcome.Provider, "unavailable", errors.New("x"))

func TestDecide(t *testing.T) {
	t.Parallel()
	plain := unavailable
	named := func(after time.Duration) error {
		return outcome.Failure(outcome.Provider, "throttled", outcome.RetryAfter(after, errors.New("x")))
	}
	own := func(after time.Duration) error {
		later := &limit.LaterError{After: after}
		return later.Outcome(fmt.Errorf("call: %w", later))
	}
	for _, c := range []struct {
		name    string
		failed  error
		attempt int
		reason  string        // the reason to use our own link; empty if it is tried again
		lasts   bool          // the circuit opens, for the next messages too
		wait    time.Duration // the minimum delay before the next attempt
	}{
		{"refused", outcome.Refused(outcome.Provider, "refused", errors.New("x")), 1, "refused", false, 0},
		{"credentials", outcome.NeedsOperator(outcome.Account, "credentials", errors.New("x")), 1, "credentials", true, 0},
		{"plain, first", plain, 1, "", false, time.Second * 3 / 4},
		{"plain, sixth", plain, 6, "", false, time.Second * 24},
		{"plain, seventh", plain, 7, "unavailable", true, 0},
		{"named", named(20 * time.Second), 1, "", false, 20 * time.Second},
		{"named, third", named(20 * time.Second), 3, "", false, 20 * time.Second},
		{"named, fourth", named(20 * time.Second), 4, "throttled", true, 0},
		{"a named delay that is too long", named(time.Hour), 1, "throttled", true, 0},
		{"our limit", own(time.Second), 1, "", false, leastWait},
		{"our limit, sixth", own(time.Second), 6, "", false, leastWait},
		{"our limit, seventh", own(time.Second), 7, "rate-limit", false, 0},
		{"our limit, with a long delay", own(2 * time.Minute), 1, "rate-limit", false, 0},
		{"our own mistake", errors.New("x"), 9, "", false, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := decide(c.failed, c.attempt)
			if got.reason != c.reason || got.lasts != c.lasts || (got.again == nil) != (c.reason != "") {
				t.Errorf("%+v", got)
			}
			if got.again == nil {
				return
			}
			if v := stage.Decide(got.again, c.attempt, policy); v.Kind != "retry" || v.Delay < c.wait {
				t.Errorf("the stage's decision is %+v", v)
			}
		})
	}
	if v := stage.Decide(decide(own(time.Second), 6).again, policy.MaxAttempts+1, policy); v.Kind != "retry" {
		t.Errorf("the stage gives up because of our own limit: %+v", v)
	}
}

// failing is an outside shortener that fails with an error, and counts its calls.
type failing struct {
	with  error
	calls int
}

func (f *failing) shorten(context.Context, string) (string, error) {
	f.calls++
	if f.with != nil {
		return "", f.with
	}
	return "https://bit.ly/3abCdEf", nil
}

// In an outage the first message waits a minute, and opens the circuit. Later messages do not wait. After the pause, one message calls the
// shortener again, and gets our own link if that fails.
func TestOnlyTheFirstMessageWaitsInAnOutage(t *testing.T) {
	t.Parallel()
	bench := servicetest.New(t, config.Default())
	links := newTestStore(t, bench.Env.JS, time.Hour)
	f := &failing{with: unavailable}
	ours, err := notification.NewLinks("https://sign.acme.example", "bit.ly")
	if err != nil {
		t.Fatal(err)
	}
	third := &thirdParty{
		name: "bitly", outside: f, ours: ours, circuit: limit.NewBreaker(limit.BreakerOptions{First: time.Hour}, nil), log: slog.New(slog.DiscardHandler),
		substituted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x_total", Help: "Links."}, []string{"shortener", "reason"}),
	}
	s := &shortener{js: bench.Env.JS, links: links, base: ours.Base(), third: third}
	shorten := func(id string, attempt int) (string, int, error) {
		n := &notifyv1.Notification{
			Id: id, Source: "acme", Provider: "clickwrap", DocumentId: id, Channel: notifyv1.Channel_CHANNEL_SMS,
			To: &notifyv1.Person{RecipientId: "s1"}, Link: &notifyv1.Link{Target: "https://provider.example/r"},
		}
		outs, err := s.shorten(t.Context(), stage.Event[*notifyv1.Notification]{ID: id, Attempt: attempt, Data: n})
		return n.GetLink().GetShort(), len(outs), err
	}
	for attempt := 1; attempt < lastAttempt; attempt++ {
		if short, _, err := shorten("n1", attempt); err == nil {
			t.Fatalf("attempt %d gave %s", attempt, short)
		}
	}
	if short, outs, err := shorten("n1", lastAttempt); err != nil || outs != 2 || short[:len(s.base)] != s.base {
		t.Errorf("%q, %d outputs, %v", short, outs, err)
	}
	if f.calls != lastAttempt {
		t.Errorf("%d calls", f.calls)
	}
	if short, outs, err := shorten("n2", 1); err != nil || outs != 2 || short[:len(s.base)] != s.base || f.calls != lastAttempt {
		t.Errorf("in the outage: %q, %d outputs, %v; %d calls", short, outs, err, f.calls)
	}

	third.circuit = limit.NewBreaker(limit.BreakerOptions{First: time.Nanosecond, Longest: time.Nanosecond}, nil) // the pause has elapsed
	third.circuit.Open("unavailable")
	if short, outs, err := shorten("n3", 1); err != nil || outs != 2 || short[:len(s.base)] != s.base || f.calls != lastAttempt+1 {
		t.Errorf("a probe that fails: %q, %d outputs, %v; %d calls", short, outs, err, f.calls)
	}
	f.with = nil
	if short, outs, err := shorten("n4", 1); err != nil || outs != 1 || short != "https://bit.ly/3abCdEf" {
		t.Errorf("after the outage: %q, %d outputs, %v", short, outs, err)
	}
	if reason, _, _ := third.circuit.State(); reason != "" {
		t.Errorf("after the outage the circuit is open: %s", reason)
	}
}

// A link that cannot be opened is not sent: it waits until the settings contain its provider's API.
func TestALinkWaitsForTheSettingsThatOpenIt(t *testing.T) {
	t.Parallel()
	s := &shortener{
		links: newTestStore(t, newBroker(t), time.Hour), base: "https://sign.acme.example/l/",
		sources: func() providers.Sources { return nil },
	}
	n := &notifyv1.Notification{
		Id: "n1", Source: "acme", Provider: "pleasesign", DocumentId: "d", Channel: notifyv1.Channel_CHANNEL_SMS,
		To: &notifyv1.Person{RecipientId: "s1"}, Link: &notifyv1.Link{},
	}
	_, err := s.shorten(t.Context(), stage.Event[*notifyv1.Notification]{ID: "n1", Attempt: 1, Data: n})
	if v := stage.Decide(err, 1, policy); v.Kind != "retry" || v.Delay < time.Minute {
		t.Errorf("%v: %+v", err, v)
	}
}
