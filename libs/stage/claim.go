package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

// claimed lets an effect happen once: claim, do it, confirm; what failed gives its claim back. A redelivery that finds it
// done yields again what followed from it. Without an answer from the memory nothing is done.
func claimed(s flow.Stage, memory dedupe.Store) middleware {
	return func(next handler) handler {
		if !s.Effect {
			return next
		}
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			owner := dedupe.NewOwner()
			found, err := claim(ctx, memory, owner, a.input.ID)
			if err != nil {
				return nil, ours("memory-away", fmt.Errorf("claim: %w", err))
			}
			switch found.State {
			case dedupe.Claimed:
			case dedupe.Pending:
				a.unknown = true
			case dedupe.Confirmed:
				return unpack(found.Result)
			default: // held: soon, but not so often that a lease's worth of waiting eats the attempts
				return nil, &verdictError{kind: retry, reason: "held", ours: true, after: 5 * s.Policy.FirstDelay, err: errHeld}
			}
			crash.Point("claimed")
			outs, err := next(ctx, a)
			crash.Point("sent")
			if err != nil {
				return nil, errors.Join(err, giveBack(ctx, memory, owner, a, err))
			}
			if err := confirm(ctx, s, memory, dedupe.Done{ID: a.input.ID, Result: pack(outs)}); err != nil {
				// Not given back: it was done. The lease lapses, and the next attempt finds it pending, and what followed
				// from it in the log.
				return outs, ours("unconfirmed", fmt.Errorf("%w: %w", errUnconfirmed, err))
			}
			crash.Point("confirmed")
			return outs, nil
		}
	}
}

var (
	errHeld        = errors.New("somebody else is doing it")
	errUnconfirmed = errors.New("the memory did not hear that it was done")
)
