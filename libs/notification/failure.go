package notification

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
)

// tried reports whether there was an attempt to send the message. Only then is the party at fault known.
func tried(o outcome.Outcome) bool { return o.Fault() != "" }

// operatorMustAct reports whether err is a failure that only the operator can fix.
func operatorMustAct(err error) bool { return outcome.Of(err).Kind() == outcome.Held }

// waitForReceipt postpones the attempt that follows an attempt with an unknown outcome, until the receipt would have arrived.
func waitForReceipt(err error, within time.Duration) error {
	if o := outcome.Of(err); within > 0 && tried(o) && o.Unknown() {
		return outcome.Unknown(outcome.RetryAfter(within, err))
	}
	return err
}

// OnLeft returns a context for an attempt. f is called when the attempt calls Left.
func OnLeft(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, leftKey{}, f)
}

// Left reports that the whole message was sent: from now on it may have been delivered. A sender calls it when it has written the last byte
// of its request.
func Left(ctx context.Context) {
	if left, ok := ctx.Value(leftKey{}).(func()); ok {
		left()
	}
	stage.Left(ctx)
}

type leftKey struct{}
