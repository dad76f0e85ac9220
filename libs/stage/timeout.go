package stage

import (
	"context"
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
)

var (
	errShutdown  = errors.New("the program ends")
	errLeaseLost = errors.New("the lease on the input is lost")
)

// timed limits only the stage's function: confirming and publishing have other timeouts. A failure because the attempt was stopped, at the
// end of the program or after a lost lease, proves nothing about the input.
func timed(limit time.Duration) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			bounded, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			outs, err := next(bounded, a)
			if err == nil || ctx.Err() == nil || ended(err) {
				return outs, err
			}
			if errors.Is(context.Cause(ctx), errLeaseLost) {
				return nil, outcome.Away("lease-lost", err)
			}
			return nil, outcome.Away("shutdown", err)
		}
	}
}

// ended reports whether the function itself ended the attempt: it skipped the input, or it gave up and was not stopped.
func ended(err error) bool {
	kind := outcome.Of(err).Kind()
	return (kind == outcome.Skips || kind == outcome.GaveUp) && !errors.Is(err, context.Canceled)
}
