package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// decided decides what happens to the input, once. If the input is given up, decided publishes it to the DLQ, waits for the ack, and
// publishes the outputs of giving up. Only then may the input be terminated. An input whose dead letter cannot be stored is
// retried: no input is ever lost.
func decided(s flow.Stage, d decider, p publisher) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			d.begin(a)
			defer d.end(a)
			outs, err := next(ctx, a)
			if d.decide(a, err); a.decision.Kind != giveUp {
				return outs, err
			}
			err, away := giveUpInput(ctx, s, a, err, p)
			if away != nil {
				d.retryInstead(a, away)
				return nil, away
			}
			return nil, err
		}
	}
}

// giveUpInput stores the dead letter and the outputs of giving the input up. The first result is the reason, the second is the
// failure to store one of them.
func giveUpInput(ctx context.Context, s flow.Stage, a *attempt, why error, p publisher) (err, away error) {
	if lost := publish(ctx, p.js, deadLetter(s, a, why)); lost != nil {
		return nil, outcome.Away("dlq", errors.Join(lost, why))
	}
	follow, panicked := recovered(func(context.Context, *attempt) ([]Out, error) {
		if a.givenUp == nil {
			return nil, nil
		}
		return a.givenUp(why), nil
	})(ctx, a)
	if lost := p.publish(ctx, a, follow); lost != nil {
		return nil, errors.Join(lost, why)
	}
	if panicked != nil {
		return fmt.Errorf("%w; its outputs were not made: %s", why, panicked.Error()), nil
	}
	return why, nil
}
