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

// claimed lets an effect happen once: claim, do the work, confirm. A failed attempt releases its claim. A redelivery of confirmed work
// returns the stored outputs. Without a response from the dedupe store, no work is done.
func claimed(s flow.Stage, memory, left dedupe.Store, lease time.Duration, k keeping) middleware {
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
				a.markUnknown(found)
			case dedupe.Confirmed:
				return k.unpack(ctx, a, found.Result)
			default:
				return nil, outcome.PutOff(s.Policy.FirstDelay, "held", errHeld)
			}
			crash.Point("claimed")
			outs, err := holding(ctx, memory, left, owner, lease, next, a)
			crash.Point("sent")
			if err != nil {
				return nil, errors.Join(err, giveBack(ctx, memory, owner, a, err))
			}
			if err := confirm(ctx, s, memory, dedupe.Done{ID: a.input.ID, Result: k.pack(ctx, a, outs)}); err != nil {
				// The claim is not released, because the work was done. The lease lapses, and the next attempt finds the claim
				// pending and the outputs in the log.
				return outs, outcome.Away("unconfirmed", fmt.Errorf("%w: %w", errUnconfirmed, err))
			}
			crash.Point("confirmed")
			return outs, nil
		}
	}
}

// markUnknown reads a pending claim. A lapsed claim belonged to an attempt whose result is unknown. If the dedupe store has a gap, an input
// that was stored before the end of the gap may have been processed in it. The number of deliveries does not show that: a NATS that
// was restored from a backup counts from 1 again.
func (a *attempt) markUnknown(found dedupe.Claim) {
	end := found.Span.Until
	if !found.Gap || end.IsZero() || a.input.FirstSeen.Before(end) {
		a.unknown = true
	}
}

// holding makes the attempt and extends its claim every third of the lease. When another worker has the claim, the attempt ends, because that
// worker may do the same work. An unavailable dedupe store does not end the attempt, because it is better to finish it.
//
// Once the effect may have happened (see Left), the claim has the lease of left.
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
			_, _ = extend() // if the store is unavailable, the next extension does it
		})
	}
	released := repeat(lease/3, func() bool {
		found, err := extend()
		lost := err == nil && (found.State == dedupe.Held || found.State == dedupe.Confirmed)
		if lost {
			stop(errLeaseLost)
		}
		return !lost && ctx.Err() == nil
	})
	outs, err := next(attempt, a)
	stop(nil)
	released() // an extension after the release would claim it again
	return outs, err
}

// Left reports that the effect may have happened from now on. If the program dies later, its claim lapses with the lease of Runner.Left. If
// it died before, the claim lapses with the lease of Runner.Claims.
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
