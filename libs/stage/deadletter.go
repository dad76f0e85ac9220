package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/flow"
)

// buried decides what happens to the input. If the input is given up, buried publishes it to the DLQ, waits for the ack, and
// publishes the outputs of giving up. Only then may the input be terminated. An input that cannot be buried is retried: no
// input is ever lost.
func buried(s flow.Stage, j judge, p publisher) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			j.putOffs.count(a)
			outs, err := next(ctx, a)
			if a.verdict = j.of(a, err); a.verdict.Kind != giveUp {
				return outs, err
			}
			putOff := func(err error) ([]Out, error) {
				a.verdict = j.of(a, err)
				return nil, err
			}
			if lost := publish(ctx, p.js, deadLetter(s, a, a.verdict.Reason, err)); lost != nil {
				return putOff(ours("dlq", errors.Join(lost, err)))
			}
			follow, panicked := recovered(func(context.Context, *attempt) ([]Out, error) {
				if a.givenUp == nil {
					return nil, nil
				}
				return a.givenUp(err), nil
			})(ctx, a)
			if lost := p.publish(ctx, a, follow); lost != nil {
				return putOff(errors.Join(lost, err))
			}
			if panicked != nil {
				err = fmt.Errorf("%w; what follows was not made: %s", err, panicked.Error())
			}
			return nil, err
		}
	}
}
