// Package stage runs consumers. A stage is one function; around it, the runner claims, retries, publishes outputs, stores dead letters,
// and reports logs, metrics and traces.
package stage

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// Func is one stage's work, and nothing else: no broker, no clock, no retry. It returns the outputs of its input. An effect
// stage calls it again only while it is not known to have succeeded. In a stage without an effect it may return outcome.Later together
// with the outputs so far, when a part of the work cannot be done yet.
type Func[In any] func(ctx context.Context, in Event[In]) ([]Out, error)

// Event is one input.
type Event[T any] struct {
	ID      string // stable across redeliveries and replays: the idempotency key
	Attempt int    // 1 on the first; what was postponed because the broker or the memory was away does not count
	// Unknown is true when an earlier attempt of an effect stage may have had its effect: its owner died, the connection
	// dropped in the middle, or the memory of claims lost its data after the input was stored. Look for traces of it before
	// doing it again, and mark what you do.
	Unknown bool
	// Replays is how often an operator replayed the input after it was given up; usually 0. An earlier life may have left
	// events in the log, and every memory of claims may have forgotten it since.
	Replays int
	Stored  time.Time // when the stream stored the input, by the broker's clock
	Data    T
}

// Out is one thing that follows from an input. Its message's Nats-Msg-Id is the identity by which consumers dedupe: make
// it with event.DerivedID, from the input's id and from what the output is (kind, person, channel), never from its
// position: a provider that lists its people in another order on the retry must not swap their ids.
type Out = *nats.Msg
