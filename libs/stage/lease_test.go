package stage

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

func TestLongWorkHoldsItsLease(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.consumer(1500 * time.Millisecond)
	r := h.stage()
	r.Stage.Workers = 2 // the second worker would get the input if the first one lost it
	release := make(chan struct{})
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("attempt %d", in.Attempt)
		<-release
		return nil, nil
	}
	h.run(r)
	h.publish("input", nil)
	for _, want := range []string{"attempt 1", "+WPI", "+WPI", "+WPI", "+WPI"} { // 2 s
		if got := h.nextOrExtension(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	close(release)
	h.expect("+ACK")
}

// During an outage of the broker no worker loses its input, and the claim prevents a second effect.
func TestAnAttemptContinuesDuringABrokerOutage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.consumer(60 * time.Millisecond) // extended every 20 ms
	confirmed := listening{h.memory(), make(chan error, 10)}
	r := h.effect(confirmed.memory)
	r.Claims = confirmed
	working, outcome := make(chan struct{}, 10), make(chan error, 10)
	release := make(chan struct{})
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		working <- struct{}{}
		select {
		case <-ctx.Done():
			outcome <- context.Cause(ctx)
		case <-release:
			outcome <- nil
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	await(t, working, "the attempt")
	h.server.Shutdown()
	h.server.WaitForShutdown()
	h.start() // after the times of several extensions
	close(release)
	if err := await(t, outcome, "the end of the attempt"); err != nil {
		t.Errorf("cancelled by %v", err)
	}
	if err := await(t, confirmed.done, "the confirmation"); err != nil {
		t.Errorf("Confirm: %v", err)
	}
	for h.info().NumAckPending+int(h.info().NumPending) > 0 { // done, by this attempt or by one that found the work done
	}
	if len(working) > 0 {
		t.Error("the effect happened twice")
	}
}

// listening reports confirmations on a channel, because the connection is broken.
type listening struct {
	*memory
	done chan error
}

func (l listening) Confirm(ctx context.Context, all ...dedupe.Done) error {
	err := l.memory.Confirm(ctx, all...)
	l.done <- err
	return err
}

func TestAFailureAfterALostLeaseIsNotCounted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancelCause(t.Context())
	for name, c := range map[string]struct{ err, cause error }{
		"lease-lost": {errPlain, errLeaseLost},
		"shutdown":   {outcome.Permanent(context.Canceled), errShutdown},
	} {
		ctx, stop := context.WithCancelCause(ctx)
		work := timed(time.Hour)(func(context.Context, *attempt) ([]Out, error) {
			stop(c.cause)
			return nil, c.err
		})
		_, err := work(ctx, nil)
		if v := Decide(err, 1, flow.Policy{MaxAttempts: 1}); v.Kind != retry || v.Reason != name {
			t.Errorf("%s: %+v", name, v)
		}
	}
	stop(errShutdown)
	for _, err := range []error{outcome.Permanent(errPlain), outcome.Skip("not-ours")} { // the stage's function ended by itself
		_, got := timed(time.Hour)(func(context.Context, *attempt) ([]Out, error) { return nil, err })(ctx, nil)
		if !errors.Is(got, err) || !counts(outcome.Of(got)) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
