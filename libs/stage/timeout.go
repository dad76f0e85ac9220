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

// timed bounds the business alone: what it did is remembered and published under other clocks. What fails because
// somebody stopped it, at the end of the program or because the lease was lost, says nothing about the input.
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

// ended reports whether the business came to an end of its own: it skipped, or gave up for another reason than that it
// was stopped.
func ended(err error) bool {
	kind := outcome.Of(err).Kind()
	return (kind == outcome.Skips || kind == outcome.GaveUp) && !errors.Is(err, context.Canceled)
}
