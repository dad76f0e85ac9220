package stage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

var errPlain = errors.New("it failed")

func TestDecide(t *testing.T) {
	t.Parallel()
	p := flow.Policy{MaxAttempts: 5, FirstDelay: time.Second, MaxDelay: 10 * time.Second}
	ends := func(k Kind, reason string) Decision { return Decision{Kind: k, Reason: reason} }
	again := func(reason string, delay, spread time.Duration) Decision {
		return Decision{retry, reason, delay, spread}
	}
	panicked := outcome.Panicked(errPlain)
	for name, c := range map[string]struct {
		err     error
		attempt int
		want    Decision
	}{
		"no error":                        {nil, 1, ends(done, "")},
		"no error on the last attempt":    {nil, 5, ends(done, "")},
		"plain":                           {errPlain, 1, again("failed", 750*time.Millisecond, 500*time.Millisecond)},
		"plain, third":                    {errPlain, 3, again("failed", 3*time.Second, 2*time.Second)},
		"a timeout is plain":              {context.DeadlineExceeded, 1, again("failed", 750*time.Millisecond, 500*time.Millisecond)},
		"last attempt":                    {errPlain, 5, ends(giveUp, "attempts-exhausted")},
		"after the last":                  {errPlain, 9, ends(giveUp, "attempts-exhausted")},
		"permanent":                       {outcome.Permanent(errPlain), 1, ends(giveUp, "permanent")},
		"permanent inside":                {fmt.Errorf("call: %w", outcome.Permanent(errPlain)), 1, ends(giveUp, "permanent")},
		"permanent joined":                {errors.Join(errPlain, outcome.Permanent(errPlain)), 1, ends(giveUp, "permanent")},
		"named":                           {outcome.RetryAfter(time.Minute, errPlain), 1, again("named", time.Minute, 15*time.Second)},
		"named on the last attempt":       {outcome.RetryAfter(time.Minute, errPlain), 5, ends(giveUp, "attempts-exhausted")},
		"named nothing":                   {outcome.RetryAfter(0, errPlain), 2, again("failed", 1500*time.Millisecond, time.Second)},
		"named a year":                    {outcome.RetryAfter(365*24*time.Hour, errPlain), 1, again("named", 24*time.Hour, 6*time.Hour)},
		"unknown":                         {outcome.Unknown(errPlain), 1, again("failed", 750*time.Millisecond, 500*time.Millisecond)},
		"unknown on the last attempt":     {outcome.Unknown(errPlain), 5, ends(giveUp, "attempts-exhausted")},
		"unknown and named":               {outcome.Unknown(outcome.RetryAfter(time.Minute, errPlain)), 1, again("named", time.Minute, 15*time.Second)},
		"skip":                            {outcome.Skip("already-signed"), 1, ends(skip, "already-signed")},
		"skip on the last attempt":        {outcome.Skip("already-signed"), 5, ends(skip, "already-signed")},
		"skip without bounds":             {outcome.Skip("user 17 is gone"), 1, ends(skip, "other")},
		"panic":                           {panicked, 1, again("panic", 750*time.Millisecond, 500*time.Millisecond)},
		"panic on the last attempt":       {panicked, 5, ends(giveUp, "panic")},
		"our own failure":                 {outcome.Away("publish", errPlain), 1, again("publish", time.Second, time.Second)},
		"our own failure, for long":       {outcome.Away("publish", errPlain), 500, again("publish", time.Second, time.Second)},
		"stopped in the middle":           {outcome.Away("shutdown", context.Canceled), 5, again("shutdown", time.Second, time.Second)},
		"our own failure hides a give-up": {outcome.Away("dlq", outcome.Permanent(errPlain)), 5, again("dlq", time.Second, time.Second)},
		"the broker is unavailable":       {fmt.Errorf("read the log: %w", nats.ErrDisconnected), 500, again("broker-away", time.Second, time.Second)},
		"the broker does not respond":     {nats.ErrTimeout, 5, again("broker-away", time.Second, time.Second)},
		"JetStream has no leader":         {&jetstream.APIError{Code: 503}, 5, again("broker-away", time.Second, time.Second)},
		"the log has no room":             {jetstream.ErrNoStreamResponse, 5, again("broker-away", time.Second, time.Second)},
		"the dedupe store is unavailable": {fmt.Errorf("look: %w", dedupe.ErrUnavailable), 5, again("memory-away", time.Second, time.Second)},
		"a stream that is not there":      {&jetstream.APIError{Code: 404}, 5, ends(giveUp, "attempts-exhausted")},
		"the broker becomes unavailable in the middle": {outcome.Unknown(nats.ErrDisconnected), 1, again("failed", 750*time.Millisecond, 500*time.Millisecond)},
	} {
		if got := Decide(c.err, c.attempt, p); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	p := flow.Policy{MaxAttempts: 5, FirstDelay: 4 * time.Second, MaxDelay: 8 * time.Second} // at least 3 s, then 6 s each
	for name, c := range map[string]struct {
		delivered int
		age       time.Duration
		want      int
	}{
		"the first":                       {1, 0, 1},
		"by the back-off at its shortest": {3, 9 * time.Second, 3},
		"sooner than the back-off":        {3, 9*time.Second - 1, 2},
		"later":                           {3, time.Hour, 3},
		"the last":                        {5, 21 * time.Second, 5},
		"after the last":                  {9, time.Hour, 5},
		"postponed hundreds of times":     {300, 10 * time.Second, 3},
		"by a clock that is behind":       {300, -time.Hour, 1},
	} {
		if got := counted(p, c.delivered, c.age); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// An input does not use up attempts while it waits for another party. Its attempts count from the end of the wait.
func TestAttemptsCountSince(t *testing.T) {
	t.Parallel()
	p := flow.StageNamed(flow.SMSSender).Policy
	begin := time.Now().Add(-48 * time.Hour)
	a := &attempt{counts: 1000, meta: &jetstream.MsgMetadata{Timestamp: begin}}
	failed := outcome.Permanent(errPlain)
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"from the beginning":         {errPlain, p.MaxAttempts},
		"since a moment ago":         {outcome.Since(time.Now(), errPlain), 1},
		"since before it came":       {outcome.Since(begin.Add(-time.Hour), errPlain), p.MaxAttempts},
		"since a moment ago, within": {errors.Join(outcome.Since(time.Now(), outcome.Unknown(errPlain)), errPlain), 1},
	} {
		if got := a.counted(p, outcome.Of(c.err).Since(), time.Now()); got != c.want {
			t.Errorf("%s: attempt %d, want %d", name, got, c.want)
		}
	}
	if v := Decide(outcome.Since(time.Now(), failed), 1, p); v.Kind != giveUp { // what the error means stays
		t.Errorf("verdict %v", v)
	}
}

// An input that is postponed after a failure is never given up because of that failure, and an unknown outcome stays unknown.
func TestAPostponedInputIsNotGivenUpForAnEarlierFailure(t *testing.T) {
	t.Parallel()
	p := flow.StageNamed(flow.SMSSender).Policy
	err := outcome.PutOff(time.Minute, "circuit-open", outcome.Unknown(errPlain))
	if v := Decide(err, p.MaxAttempts, p); v.Kind != retry || v.Delay != time.Minute || v.Reason != "circuit-open" || !outcome.Of(err).Unknown() {
		t.Errorf("verdict %+v, unknown %v", v, outcome.Of(err).Unknown())
	}
}

func TestWaitStaysInItsSpread(t *testing.T) {
	t.Parallel()
	v := Decision{Kind: retry, Delay: 3 * time.Second, Spread: 2 * time.Second}
	for fraction, want := range map[float64]time.Duration{0: 3 * time.Second, 0.5: 4 * time.Second, 0.75: 4500 * time.Millisecond} {
		if got := v.Wait(fraction); got != want {
			t.Errorf("Wait(%v) = %v, want %v", fraction, got, want)
		}
	}
	if got := (Decision{Kind: retry}).Wait(0); got <= 0 {
		t.Errorf("a retry waits %v: that is a bare Nak", got)
	}
}

// The table in the comment of backoff.
func TestBackOffTable(t *testing.T) {
	t.Parallel()
	p := flow.StageNamed(flow.SMSSender).Policy
	at := map[int]float64{1: 1, 2: 3, 3: 7, 4: 15, 5: 31, 6: 63, 7: 127, 8: 255, 9: 511, 10: 1023, 150: 85_023}
	var total time.Duration
	for n := 1; n < p.MaxAttempts; n++ {
		total += backoff(p, n)
		if want, ok := at[n]; ok && total.Seconds() != want {
			t.Errorf("after attempt %d: %v in total, want %v s", n, total, want)
		}
	}
	if p.MaxAttempts != 151 {
		t.Errorf("the table is for 151 attempts, the policy has %d", p.MaxAttempts)
	}
}
