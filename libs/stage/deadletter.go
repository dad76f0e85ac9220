package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// buried puts what is given up into the DLQ and waits for its ack, then publishes what follows from giving up; only then
// may the input be terminated. What cannot be buried is retried: nothing is ever lost.
func buried(s flow.Stage, js jetstream.JetStream) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			outs, err := next(ctx, a)
			v := Decide(err, a.counted(s.Policy, err), s.Policy)
			if v.Kind != giveUp {
				return outs, err
			}
			if lost := publish(ctx, js, deadLetter(s, a, v.Reason, err)); lost != nil {
				return nil, ours("dlq", errors.Join(lost, err))
			}
			follow, panicked := recovered(func(context.Context, *attempt) ([]Out, error) {
				if a.givenUp == nil {
					return nil, nil
				}
				return a.givenUp(err), nil
			})(ctx, a)
			if lost := publish(ctx, js, traced(ctx, follow)...); lost != nil {
				return nil, errors.Join(lost, err)
			}
			if panicked != nil {
				err = fmt.Errorf("%w; what follows was not made: %s", err, panicked.Error())
			}
			return nil, err
		}
	}
}
