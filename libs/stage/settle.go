package stage

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// ackFor bounds the wait for the server's word that it heard an ack.
const ackFor = 5 * time.Second

// settled answers the broker.
func settled(p flow.Policy) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			outs, err := next(ctx, a)
			a.verdict = Decide(err, a.counted(p, err), p)
			a.unanswered = answer(ctx, a.msg, a.verdict)
			return outs, err
		}
	}
}

// answer tells the broker the verdict. An ack that was not heard comes back as a redelivery, so it is asked for.
func answer(ctx context.Context, msg jetstream.Msg, v Verdict) error {
	switch v.Kind {
	case giveUp:
		return msg.TermWithReason(v.Reason)
	case retry:
		return msg.NakWithDelay(v.Wait(rand.Float64())) //nolint:gosec // it spreads retries; guessing it gains nothing
	default:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackFor)
		defer cancel()
		return msg.DoubleAck(ctx)
	}
}
