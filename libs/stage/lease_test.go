package stage

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

func TestLongWorkHoldsItsLease(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.consumer(1500 * time.Millisecond)
	r := h.stage()
	r.Stage.Workers = 2 // the second would be given the input when the first lost it
	release := make(chan struct{})
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("attempt %d", in.Attempt)
		<-release
		return nil, nil
	}
	h.run(r)
	h.publish("letter", nil)
	for _, want := range []string{"attempt 1", "+WPI", "+WPI", "+WPI", "+WPI"} { // 2 s
		if got := h.next(); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	close(release)
	h.wants("+ACK?")
}

func TestALostLeaseCancelsTheAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.consumer(600 * time.Millisecond)
	confirmed := listening{h.memory(), make(chan error, 10)}
	r := h.effect(confirmed.memory)
	r.Claims = confirmed
	working, cause := make(chan struct{}, 10), make(chan error, 10)
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		working <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, nil // it had its effect all the same
	}
	h.run(r)
	h.publish("letter", letter("a"))
	await(t, working, "the attempt")
	h.server.Shutdown()
	h.server.WaitForShutdown()
	if err := await(t, cause, "the cancellation"); !errors.Is(err, errLeaseLost) {
		t.Errorf("cancelled by %v", err)
	}
	if err := await(t, confirmed.done, "the confirmation, which needs no lease"); err != nil {
		t.Errorf("Confirm: %v", err)
	}
	h.start()
}

// listening tells of confirmations in the process: the wire is cut.
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
		"shutdown":   {Permanent(context.Canceled), errShutdown},
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
	for _, err := range []error{Permanent(errPlain), Skip("not-ours")} { // the business came to its own end
		_, got := timed(time.Hour)(func(context.Context, *attempt) ([]Out, error) { return nil, err })(ctx, nil)
		if !errors.Is(got, err) || listen(got).ours {
			t.Errorf("%v became %v", err, got)
		}
	}
}
