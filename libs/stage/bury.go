package stage

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Bury puts a message into the DLQ, as a Runner buries what its stage gives up, and waits for the stream's ack. It is for a
// consumer that cannot be a Runner because its inputs must leave in order; the reason is bounded, as outcome.Skip's. Burying a
// message again is harmless. What to answer the broker is the caller's.
func Bury(ctx context.Context, js jetstream.JetStream, s flow.Stage, msg jetstream.Msg, reason string, err error) error {
	a, unreadable := newAttempt(msg)
	if unreadable != nil {
		return unreadable
	}
	a.outcome = outcome.Of(outcome.PermanentFor(reason, err))
	a.decision = decide(a.outcome, 1, s.Policy)
	return publish(ctx, js, deadLetter(s, a, err))
}
