// Package stage is what a consumer is: one function of business, and around it everything that makes its work happen
// once, be retried, be buried, and be seen.
package stage

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Func is one stage's work, and nothing else: no broker, no clock, no retry. It returns the outputs of its input. An effect
// stage calls it again only while it is not known to have succeeded. In a stage without an effect it may return Later together
// with the outputs so far, when a part of the work cannot be done yet.
type Func[In any] func(ctx context.Context, in Event[In]) ([]Out, error)

// Event is one input.
type Event[T any] struct {
	ID      string // stable across redeliveries and replays: the idempotency key
	Attempt int    // 1 on the first; what was put off because the broker or the memory was away does not count
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

// Permanent marks an error that no retry can mend: the input goes to the DLQ now.
func Permanent(err error) error { return &verdictError{kind: giveUp, err: err} }

// RetryAfter marks an error whose other side said when to come again.
func RetryAfter(d time.Duration, err error) error {
	return &verdictError{kind: retry, after: d, err: err}
}

// Later puts the work off by our own choice (a rate limit): it says nothing about the input, and never makes it be given
// up. The reason is bounded, as Skip's.
func Later(d time.Duration, reason string) error {
	return &verdictError{kind: retry, reason: label(reason), ours: true, quiet: true, after: d, err: errors.New(reason)}
}

// PutOff is Later for an attempt that failed with err: the failure is not held against the input, because the other side
// fails for every input, or because only the operator can help.
func PutOff(d time.Duration, reason string, err error) error {
	return &verdictError{kind: retry, reason: label(reason), ours: true, after: d, err: err}
}

// Since sets from when attempts count against the policy, if that is later than the input itself: the time before was spent
// waiting for another party. It does not change the meaning of err.
func Since(t time.Time, err error) error { return &sinceError{t, err} }

type sinceError struct {
	since time.Time
	err   error
}

func (e *sinceError) Error() string { return e.err.Error() }
func (e *sinceError) Unwrap() error { return e.err }

// Unknown marks an error after which nobody knows whether the effect happened. The claim is not given back; the next
// attempt sees Event.Unknown.
func Unknown(err error) error { return &verdictError{kind: retry, unknown: true, err: err} }

// Skip ends the work on purpose, with no output. The reason is bounded (a metric's label): [a-z-]{1,40}.
func Skip(reason string) error { return &verdictError{kind: skip, err: errors.New(reason)} }
