package stage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// claimed lets an effect happen once: claim, do it, confirm; what failed gives its claim back. A redelivery that finds it
// done yields again what followed from it. Without a response from the memory nothing is done.
func claimed(s flow.Stage, memory, left dedupe.Store, lease time.Duration) middleware {
	return func(next handler) handler {
		if !s.Effect {
			return next
		}
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			owner := dedupe.NewOwner()
			found, err := claim(ctx, memory, owner, a.input.ID)
			if err != nil {
				return nil, outcome.Away("memory-away", fmt.Errorf("claim: %w", err))
			}
			a.claimedBefore = found.State != dedupe.Claimed
			switch found.State {
			case dedupe.Claimed:
			case dedupe.Pending:
				a.doubt(found)
			case dedupe.Confirmed:
				return unpack(found.Result)
			default:
				return nil, outcome.PutOff(s.Policy.FirstDelay, "held", errHeld)
			}
			crash.Point("claimed")
			outs, err := holding(ctx, memory, left, owner, lease, next, a)
			crash.Point("sent")
			if err != nil {
				return nil, errors.Join(err, giveBack(ctx, memory, owner, a, err))
			}
			if err := confirm(ctx, s, memory, dedupe.Done{ID: a.input.ID, Result: pack(outs)}); err != nil {
				// Not given back: it was done. The lease lapses, and the next attempt finds it pending, and what followed
				// from it in the log.
				return outs, outcome.Away("unconfirmed", fmt.Errorf("%w: %w", errUnconfirmed, err))
			}
			crash.Point("confirmed")
			return outs, nil
		}
	}
}

// doubt reads a pending claim. A claim that lapsed belonged to an attempt whose end is unknown. If the memory has a gap, an input
// that was stored before the end of the gap may have been done in it. The number of deliveries does not show that: a NATS that
// was restored from a backup counts from 1 again.
func (a *attempt) doubt(found dedupe.Claim) {
	end := found.Span.Until
	if !found.Gap || end.IsZero() || a.input.FirstSeen.Before(end) {
		a.unknown = true
	}
}

// holding makes the attempt and extends its claim meanwhile, every third of the lease. When another worker has the claim, the attempt
// ends, because that worker may do the same work. An unreachable memory does not end the attempt: it is better to finish it.
//
// Once the effect may have happened (see Left), the claim has the lease of the other memory.
func holding(ctx context.Context, memory, left dedupe.Store, owner string, lease time.Duration, next handler, a *attempt) ([]Out, error) {
	if lease <= 0 {
		return next(ctx, a)
	}
	ctx, stop := context.WithCancelCause(ctx)
	var happened atomic.Bool
	extend := func() (dedupe.Claim, error) {
		if happened.Load() {
			return claim(ctx, left, owner, a.input.ID)
		}
		return claim(ctx, memory, owner, a.input.ID)
	}
	attempt := ctx
	if left != nil {
		attempt = context.WithValue(ctx, leftKey{}, func() {
			happened.Store(true)
			_, _ = extend() // where the memory is away the next extension does it
		})
	}
	released := make(chan struct{})
	go func() {
		defer close(released)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			found, err := extend()
			if err == nil && (found.State == dedupe.Held || found.State == dedupe.Confirmed) {
				stop(errLeaseLost)
				return
			}
		}
	}()
	outs, err := next(attempt, a)
	stop(nil)
	<-released // an extension after the claim was given back would take it again
	return outs, err
}

// Left reports that the effect may have happened from now on. Afterwards the claim of a program that died lapses with the lease of
// Runner.Left, and before with that of Runner.Claims.
func Left(ctx context.Context) {
	if left, ok := ctx.Value(leftKey{}).(func()); ok {
		left()
	}
}

type leftKey struct{}

var (
	errHeld        = errors.New("another worker has the claim")
	errUnconfirmed = errors.New("the dedupe store did not confirm the work")
)
