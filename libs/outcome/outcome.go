// Package outcome describes the result of an attempt: the kind of failure, its reason, the delay before the next attempt, whether the effect
// may have happened, and the party at fault. API clients and stages return it as an error. Only the runner of package stage turns it into an
// ack, a nak with a delay, or a dead letter.
//
// Only the functions of this package make an outcome, so that combinations without a meaning are impossible.
package outcome

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Kind is the result of an attempt.
type Kind int

// The kinds of outcomes.
const (
	Done   Kind = iota // it succeeded
	Failed             // it failed, and another attempt may succeed
	Waits              // Signrelay itself postponed it, or one of our own parts was unavailable: it does not count as an attempt
	Held               // it waits until the operator has fixed something
	Skips              // it ended on purpose without an output
	GaveUp             // no other attempt can succeed
)

// Fault is the party at fault for a failure.
type Fault string

// The parties at fault; empty if unknown.
const (
	Recipient Fault = "recipient" // the address or number, or the recipient's own choice
	Operator  Fault = "operator"  // the account, its money, a setting, a template, the sender's address
	Provider  Fault = "provider"  // the other side: an API, the SMS vendor, a mail server
	Ours      Fault = "ours"      // a mistake in this program
)

// Scope is the set of inputs that fail for the same cause.
type Scope int

// The scopes, from the narrowest to the widest.
const (
	Input   Scope = iota // only this input
	Reason               // inputs that fail with the same reason
	Account              // every input: the account or a setting is at fault
	Service              // every input: the other side does not work
)

// Outcome is the result of one attempt. Its zero value is a success.
type Outcome struct {
	kind    Kind
	reason  string // the reason of our own decision; bounded
	cause   string // from the other side, or from the code that read its response; bounded
	fault   Fault
	scope   Scope
	after   time.Duration
	since   time.Time
	unknown bool
	quiet   bool
	stated  bool // it decides the consequence; otherwise it only describes a failure, see Since and Failure
}

// Kind returns the result of the attempt.
func (o Outcome) Kind() Kind { return o.kind }

// Reason returns the reason for which it was skipped, postponed or given up, [a-z-]{1,40}: a metric's label. Empty if the kind is enough. An
// outer statement without a reason has the reason of the inner one.
func (o Outcome) Reason() string { return o.reason }

// Cause returns the bounded name of the failure, [a-z0-9-]{1,40}, for events and a sender's metrics. Empty if unknown.
func (o Outcome) Cause() string { return o.cause }

// Fault returns the party at fault.
func (o Outcome) Fault() Fault { return o.fault }

// Scope returns the set of inputs that fail for the same cause.
func (o Outcome) Scope() Scope { return o.scope }

// After returns the delay that the other side or this program set; 0 for none.
func (o Outcome) After() time.Duration { return o.after }

// Since returns the time from which attempts count; zero for the input's own time.
func (o Outcome) Since() time.Time { return o.since }

// Unknown reports whether the effect may have happened.
func (o Outcome) Unknown() bool { return o.unknown }

// Quiet reports whether nothing was tried, so that no log line is needed.
func (o Outcome) Quiet() bool { return o.quiet }

// Stated reports whether an outcome was stated at all. For a plain error the runner may know more: that the broker is unavailable.
func (o Outcome) Stated() bool { return o.stated }

// stated is an error that carries an outcome.
type stated struct {
	Outcome
	err error
}

func (e *stated) Error() string {
	switch {
	case e.cause == "":
		return fmt.Sprint(e.err)
	case e.err == nil:
		return e.cause
	default:
		return e.cause + ": " + e.err.Error()
	}
}

func (e *stated) Unwrap() error { return e.err }

// Permanent returns a failure that no retry can fix. The input becomes a dead letter now.
func Permanent(err error) error { return &stated{Outcome{kind: GaveUp, stated: true}, err} }

// PermanentFor works like Permanent, with the reason for the dead letter and the metrics.
func PermanentFor(reason string, err error) error {
	return &stated{Outcome{kind: GaveUp, reason: bounded(reason), stated: true}, err}
}

// Refused returns a failure of a known party that no retry can fix. The cause is bounded, [a-z0-9-]{1,40}; empty if err is enough.
func Refused(whose Fault, cause string, err error) error {
	return Permanent(Failure(whose, cause, err))
}

// Failure returns a temporary failure of a known party: the input is retried with the stage's backoff. The cause is bounded, [a-z0-9-]{1,40};
// empty if err is enough.
func Failure(whose Fault, cause string, err error) error {
	return &stated{Outcome{kind: Failed, cause: cause, fault: whose}, err}
}

// RetryAfter returns a failure for which the other side named a delay. The next attempt is not made before.
func RetryAfter(d time.Duration, err error) error {
	return &stated{Outcome{kind: Failed, after: d, stated: true}, err}
}

// Unknown returns a failure after which the effect may have happened: the request was sent, and no response came. The claim of an effect
// stage is not released.
func Unknown(err error) error {
	return &stated{Outcome{kind: Failed, unknown: true, stated: true}, err}
}

// Panicked returns the failure of an attempt that panicked. The next version of the program may not panic, and the progress of the work is
// unknown.
func Panicked(err error) error {
	return &stated{Outcome{kind: Failed, reason: "panic", unknown: true, fault: Ours, stated: true}, err}
}

// Down marks a failure of the whole other side: it does not respond, or returns only errors. It opens a circuit breaker.
func Down(err error) error {
	return &stated{Outcome{kind: Failed, scope: Service}, err}
}

// NeedsOperator returns a failure that only the operator can fix: the input is held with all others in the scope, and never given up as
// another party's fault. The cause is bounded, [a-z0-9-]{1,40}; empty if err is enough.
func NeedsOperator(scope Scope, cause string, err error) error {
	return &stated{Outcome{kind: Held, scope: scope, cause: cause, fault: Operator, stated: true}, err}
}

// Later postpones the input before an attempt, for example because of a rate limit. The input is never given up because of this. The reason
// is bounded, [a-z-]{1,40}.
func Later(d time.Duration, reason string) error {
	return NotTried(d, reason, errors.New(reason))
}

// NotTried works like Later, with an error that contains more than the reason.
func NotTried(d time.Duration, reason string, err error) error {
	return &stated{Outcome{kind: Waits, reason: bounded(reason), after: d, quiet: true, stated: true}, err}
}

// PutOff works like Later, for an attempt that failed with err. The failure does not count against the input, because the other side fails
// for each input, or because only the operator can fix it.
func PutOff(d time.Duration, reason string, err error) error {
	return &stated{Outcome{kind: Waits, reason: bounded(reason), after: d, stated: true}, err}
}

// Away returns a failure of one of our own parts (the broker, the dedupe store, the end of the program). The input is retried soon, for as
// long as the failure lasts.
func Away(reason string, err error) error { return PutOff(0, reason, err) }

// Skip ends the work on purpose, without an output. The reason is bounded, [a-z-]{1,40}.
func Skip(reason string) error {
	return &stated{Outcome{kind: Skips, reason: bounded(reason), stated: true}, errors.New(reason)}
}

// Since sets the time from which attempts count, if it is later than the input's own time. Before that time, the input waited for another
// party. It changes nothing else in the outcome of err.
func Since(t time.Time, err error) error { return &stated{Outcome{kind: Failed, since: t}, err} }

// Of returns the outcome of err, which may wrap several errors of this package. The kind comes from the outermost one
// that states a kind, and the reason from the outermost one with a reason. Cause, fault and scope come together from the outermost one with a
// fault. The delay is the longest of all. The effect is unknown if any of them says so.
func Of(err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	o := Outcome{kind: Failed}
	described := false // cause, fault and scope belong together
	for e := range statements(err) {
		if o.since.IsZero() {
			o.since = e.since
		}
		if described {
			continue
		}
		o.scope, described = max(o.scope, e.scope), e.fault != ""
		o.cause, o.fault = e.cause, e.fault
	}
	for e := first(err); e != nil; e = first(e.err) {
		if !o.stated {
			o.kind, o.quiet, o.stated = e.kind, e.quiet, true
		}
		o.reason = cmp.Or(o.reason, e.reason)
		o.after = max(o.after, e.after)
		o.unknown = o.unknown || e.unknown
	}
	return o
}

// first returns the outermost error in err that decides the consequence.
func first(err error) *stated {
	for e := range statements(err) {
		if e.stated {
			return e
		}
	}
	return nil
}

// statements yields each outcome in err, from the outside in.
func statements(err error) func(yield func(*stated) bool) {
	return func(yield func(*stated) bool) { walk(err, yield) }
}

func walk(err error, yield func(*stated) bool) bool {
	for err != nil {
		if e, ok := err.(*stated); ok && !yield(e) { //nolint:errorlint // each error of the chain is examined by itself
			return false
		}
		switch e := err.(type) { //nolint:errorlint // as above
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				if !walk(inner, yield) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}

var reasonPattern = regexp.MustCompile(`^[a-z-]{1,40}$`)

// bounded limits a stage's own reason, so that a metric's label has few values.
func bounded(reason string) string {
	if reasonPattern.MatchString(reason) {
		return reason
	}
	return "other"
}
