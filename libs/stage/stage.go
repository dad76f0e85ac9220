// Package stage runs consumers. A stage is one function; around it, the runner claims, retries, publishes outputs, stores dead letters,
// and reports logs, metrics and traces.
package stage

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// Func does the work of one stage: it gets an input and returns its outputs. The broker, the clock and retries are the runner's work. After a
// success in a stage with an effect, the runner does not call it again for the same input; it does if it is unknown whether the effect
// happened. A stage without an effect may return outcome.Later together with outputs, if it cannot do a part of the work yet.
type Func[In any] func(ctx context.Context, in Event[In]) ([]Out, error)

// Event is one input.
type Event[T any] struct {
	ID      string // stable across redeliveries and replays: the idempotency key
	Attempt int    // 1 on the first; a delivery that was postponed because the broker or the dedupe store was unavailable does not count
	// Unknown is true if an earlier attempt of an effect stage may have had its effect: its owner died, the connection dropped in the middle,
	// or the dedupe store lost its data after the input was stored. Look for traces of the effect before you repeat it, and mark the
	// repetition.
	Unknown bool
	// Replays is the number of times that an operator replayed the input after it was given up; usually 0. Attempts before a replay may have
	// left events in the log, and the dedupe store may have forgotten them since.
	Replays int
	Stored  time.Time   // when the stream stored the input, by the broker's clock
	Subject string      // of the input
	Header  nats.Header // of the input
	Data    T
}

// Out is an output of an input. Consumers dedupe by its Nats-Msg-Id: make the id with event.DerivedID from the input's id and from the
// output's properties (kind, person, channel). Never use the output's position: a provider may list people in another order on the retry, and
// their ids must not be swapped.
type Out = *nats.Msg
