package stage

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

// Kind is what happens to an input after an attempt.
type Kind string

const (
	done   Kind = "done"    // acked
	retry  Kind = "retry"   // handed back, to come again after a delay
	skip   Kind = "skip"    // acked, on purpose without output
	giveUp Kind = "give-up" // to the DLQ, then terminated
)

// Verdict is what Decide says.
type Verdict struct {
	Kind   Kind
	Reason string // bounded, [a-z-]; empty when done
	// Delay is the least that a retry waits, and Spread what is added to it at random, so that inputs that failed
	// together do not come back together.
	Delay, Spread time.Duration
}

// Wait is how long a retry waits, for a random fraction in [0, 1). It is never 0: a Nak without a delay ignores every
// back-off and burns all attempts in milliseconds.
func (v Verdict) Wait(fraction float64) time.Duration {
	return max(v.Delay+time.Duration(fraction*float64(v.Spread)), time.Millisecond)
}

// longestNamed bounds the time that another side may name: a mistyped Retry-After of a year would outlive the input.
const longestNamed = 24 * time.Hour

// Decide is the only map from errors to what happens next. A plain error is transient. What was our own trouble (a memory
// or a stream that is away, the end of the program, a lost lease) never makes an input be given up.
func Decide(err error, attempt int, p flow.Policy) Verdict {
	if err == nil {
		return Verdict{Kind: done}
	}
	said := listen(err)
	switch {
	case said.kind == skip:
		return Verdict{Kind: skip, Reason: label(said.err.Error())}
	case said.kind == giveUp:
		return Verdict{Kind: giveUp, Reason: cmp.Or(said.reason, "permanent")}
	case attempt >= p.MaxAttempts && !said.ours:
		return Verdict{Kind: giveUp, Reason: cmp.Or(said.reason, "attempts-exhausted")}
	case said.after > 0: // never sooner than named
		d := min(said.after, longestNamed)
		return Verdict{Kind: retry, Reason: cmp.Or(said.reason, "named"), Delay: d, Spread: d / 4}
	case said.ours: // soon, however often: it says nothing about the input, and all is to go on when the trouble is over
		return Verdict{Kind: retry, Reason: cmp.Or(said.reason, "ours"), Delay: p.FirstDelay, Spread: p.FirstDelay}
	default: // the back-off, spread by a quarter to either side
		d := backOff(p, attempt)
		return Verdict{Kind: retry, Reason: cmp.Or(said.reason, "failed"), Delay: d - d/4, Spread: d / 2}
	}
}

// backOff is the mean delay after a failed attempt. With the policy of the table in package flow (1 s, at most 10 min,
// 151 attempts), whose other side never answers:
//
//	after attempt   1    2    3    4     5     6     7      8      9     10   11 … 150      151
//	delay         1 s  2 s  4 s  8 s  16 s  32 s  64 s  128 s  256 s  512 s  600 s each  given up
//	since first   1 s  3 s  7 s 15 s  31 s  63 s 127 s  255 s  511 s 1023 s  … 85,023 s
//
// In all 85,023 s, which is 23 h 37 min.
func backOff(p flow.Policy, attempt int) time.Duration {
	d := p.FirstDelay
	for n := 1; n < attempt && d < p.MaxDelay; n++ {
		d *= 2
	}
	return min(d, p.MaxDelay)
}

// counted is how many of an input's deliveries are attempts in the sense of the policy: no more than its own back-off would
// have made in the time since the input came. A backlog behind a rate limit is delivered hundreds of times in minutes, and a
// busy other side may say "in a second" again and again; neither may use up what is meant to last a day.
func counted(p flow.Policy, delivered int, age time.Duration) int {
	n := 1
	for n < delivered && n < p.MaxAttempts {
		d := backOff(p, n)
		if age -= d - d/4; age < 0 { // its shortest, see Decide
			break
		}
		n++
	}
	return n
}

// verdictError is an error that says more than that something failed.
type verdictError struct {
	kind    Kind
	reason  string        // bounded; empty for the kind's own
	after   time.Duration // the other side named it
	unknown bool          // nobody knows whether the effect happened
	ours    bool          // our own trouble: says nothing about the input, and is not counted against it
	quiet   bool          // nothing was tried: no line in the log
	err     error
}

func (e *verdictError) Error() string { return fmt.Sprint(e.err) }
func (e *verdictError) Unwrap() error { return e.err }

// ours marks our own trouble, which is retried for as long as it lasts.
func ours(reason string, err error) error {
	return &verdictError{kind: retry, reason: reason, ours: true, err: err}
}

// listen reads everything that the errors inside err say. The outermost decides the kind; a time named and an unknown
// outcome count wherever they were said, so that Unknown(RetryAfter(d, err)) is both.
func listen(err error) verdictError {
	var e *verdictError
	if !errors.As(err, &e) {
		reason := awayReason(err)
		return verdictError{kind: retry, err: err, ours: reason != "", reason: reason}
	}
	said := *e
	for errors.As(e.err, &e) {
		said.reason = cmp.Or(said.reason, e.reason)
		said.after = max(said.after, e.after)
		said.unknown = said.unknown || e.unknown
	}
	return said
}

var labels = regexp.MustCompile(`^[a-z-]{1,40}$`)

// label keeps a stage's own reason from becoming a metric without bounds.
func label(reason string) string {
	if labels.MatchString(reason) {
		return reason
	}
	return "other"
}

// awayReason says which of our own parts could not be asked, where err says so: the memory or the broker. A stage may meet that
// anywhere, such as when it reads the log.
func awayReason(err error) string {
	switch {
	case errors.Is(err, dedupe.ErrAway):
		return "memory-away"
	case slices.ContainsFunc(brokerAway, func(target error) bool { return errors.Is(err, target) }):
		return "broker-away"
	}
	if answer := new(jetstream.APIError); errors.As(err, &answer) && answer.Code == http.StatusServiceUnavailable {
		return "broker-away" // JetStream is starting, has no leader, or has no room
	}
	return ""
}

var brokerAway = []error{
	nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrNoResponders, nats.ErrReconnectBufExceeded,
	nats.ErrTimeout, jetstream.ErrNoStreamResponse,
}
