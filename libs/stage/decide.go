package stage

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Kind is what happens to an input after an attempt.
type Kind string

const (
	done   Kind = "done"    // acked
	retry  Kind = "retry"   // nak with a delay
	skip   Kind = "skip"    // acked, on purpose without output
	giveUp Kind = "give-up" // to the DLQ, then terminated
)

// Decision is the result of Decide.
type Decision struct {
	Kind   Kind
	Reason string // bounded, [a-z-]; empty when done
	// Delay is the minimum wait of a retry, and Spread the maximum that is added to it at random, so that inputs that failed
	// together are not retried together.
	Delay, Spread time.Duration
}

// Wait returns the delay of a retry, for a random fraction in [0, 1). It is never 0: a Nak without a delay ignores every backoff and uses up
// all attempts in milliseconds.
func (d Decision) Wait(fraction float64) time.Duration {
	return max(d.Delay+time.Duration(fraction*float64(d.Spread)), time.Millisecond)
}

const (
	// longestNamed limits the delay that another party may request: with a mistyped Retry-After of a year, the stream would delete the input
	// first.
	longestNamed = 24 * time.Hour
	// holdFor is the delay before the next attempt at an input that waits for the operator, unless its stage sets another delay.
	holdFor = 45 * time.Second
)

// Decide returns the decision for an error. No other code maps errors to decisions. A plain error is transient. A failure of our own parts
// (an unavailable dedupe store or stream, the end of the program, a lost lease) never causes a stage to give up an input.
func Decide(err error, attempt int, p flow.Policy) Decision {
	return decide(read(err), attempt, p)
}

// decide works like Decide, for an outcome that was read already.
func decide(o outcome.Outcome, attempt int, p flow.Policy) Decision {
	switch {
	case o.Kind() == outcome.Done:
		return Decision{Kind: done}
	case o.Kind() == outcome.Skips:
		return Decision{Kind: skip, Reason: o.Reason()}
	case o.Kind() == outcome.GaveUp:
		return Decision{Kind: giveUp, Reason: cmp.Or(o.Reason(), "permanent")}
	case attempt >= p.MaxAttempts && counts(o):
		return Decision{Kind: giveUp, Reason: cmp.Or(o.Reason(), "attempts-exhausted")}
	case o.Kind() == outcome.Held:
		d := cmp.Or(min(o.After(), longestNamed), holdFor)
		return Decision{Kind: retry, Reason: cmp.Or(o.Reason(), "operator"), Delay: d, Spread: d / 4}
	case o.After() > 0: // never sooner than requested
		d := min(o.After(), longestNamed)
		return Decision{Kind: retry, Reason: cmp.Or(o.Reason(), "named"), Delay: d, Spread: d / 4}
	case o.Kind() == outcome.Waits: // a short delay, any number of times: the failure is unrelated to the input, which must continue when the part is available again
		return Decision{Kind: retry, Reason: cmp.Or(o.Reason(), "ours"), Delay: p.FirstDelay, Spread: p.FirstDelay}
	default: // the backoff, plus or minus a quarter
		d := backoff(p, attempt)
		return Decision{Kind: retry, Reason: cmp.Or(o.Reason(), "failed"), Delay: d - d/4, Spread: d / 2}
	}
}

// counts reports whether an attempt counts against the input.
func counts(o outcome.Outcome) bool { return o.Kind() != outcome.Waits && o.Kind() != outcome.Held }

// backoff returns the mean delay after a failed attempt. With the policy of the table in package flow (1 s, at most 10 min, 151 attempts),
// and a failure of each attempt:
//
//	after attempt   1    2    3    4     5     6     7      8      9     10   11 … 150      151
//	delay         1 s  2 s  4 s  8 s  16 s  32 s  64 s  128 s  256 s  512 s  600 s each  given up
//	since first   1 s  3 s  7 s 15 s  31 s  63 s 127 s  255 s  511 s 1023 s  … 85,023 s
//
// The total is 85,023 s, which is 23 h 37 min.
func backoff(p flow.Policy, attempt int) time.Duration {
	d := p.FirstDelay
	for n := 1; n < attempt && d < p.MaxDelay; n++ {
		d *= 2
	}
	return min(d, p.MaxDelay)
}

// counted returns the number of an input's deliveries that count as attempts by the policy. It is at most the number of attempts that the
// policy's backoff would have made since the input was stored. A backlog behind a rate limit is delivered hundreds of times in minutes, and a
// busy server may request a retry in a second again and again. Neither may use up the attempts that must last a day.
func counted(p flow.Policy, delivered int, age time.Duration) int {
	n := 1
	for n < delivered && n < p.MaxAttempts {
		d := backoff(p, n)
		if age -= d - d/4; age < 0 { // the minimum delay, see decide
			break
		}
		n++
	}
	return n
}

// read returns the outcome that err carries. An error without a stated outcome is a failure of our own parts if it shows that the dedupe
// store or the broker did not respond.
func read(err error) outcome.Outcome {
	o := outcome.Of(err)
	if reason := awayReason(err); !o.Stated() && reason != "" {
		return outcome.Of(outcome.Away(reason, err))
	}
	return o
}

// awayReason returns the name of our own part that did not respond according to err: the dedupe store or the broker. A stage may get such an
// error anywhere, for example when it reads the log.
func awayReason(err error) string {
	switch {
	case errors.Is(err, dedupe.ErrUnavailable):
		return "memory-away"
	case slices.ContainsFunc(brokerAway, func(target error) bool { return errors.Is(err, target) }):
		return "broker-away"
	}
	if response := new(jetstream.APIError); errors.As(err, &response) && response.Code == http.StatusServiceUnavailable {
		return "broker-away" // JetStream is starting, has no leader, or has no room
	}
	return ""
}

var brokerAway = []error{
	nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrNoResponders, nats.ErrReconnectBufExceeded,
	nats.ErrTimeout, jetstream.ErrNoStreamResponse,
}
