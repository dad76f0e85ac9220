// Package outcome is what an attempt says when it did not simply succeed: the kind of failure, why, when to come again, whether
// its effect may have happened, and whose fault it is. Clients of other services and stages return it as an error. Only the
// runner of package stage turns it into an ack, a nak with a delay, or a dead letter.
//
// An outcome is made by the functions of this package alone, so that a combination without a meaning cannot be written.
package outcome

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Kind is what became of an attempt.
type Kind int

// The kinds of outcomes.
const (
	Done   Kind = iota // it succeeded
	Failed             // it failed, and another attempt may succeed
	Waits              // it was postponed by our own choice, or one of our own parts was away: no attempt of the input's
	Held               // it waits until the operator has fixed something
	Skips              // it ended on purpose without an output
	GaveUp             // no other attempt can succeed
)

// Fault is whose fault a failure is.
type Fault string

// The parties whose fault it can be; empty where nobody said.
const (
	Recipient Fault = "recipient" // the address or number, or the recipient's own choice
	Operator  Fault = "operator"  // the account, its money, a setting, a template, the sender's address
	Provider  Fault = "provider"  // the other side: an API, the SMS vendor, a mail server
	Ours      Fault = "ours"      // a mistake in this program
)

// Scope is what else fails for the same cause.
type Scope int

// The scopes, from the narrowest to the widest.
const (
	Input   Scope = iota // this input alone
	Reason               // inputs that fail with the same reason
	Account              // every input: the account or a setting is at fault
	Service              // every input: the other side does not work
)

// Outcome is one such statement. Its zero value says that the attempt succeeded.
type Outcome struct {
	kind    Kind
	reason  string // of our own decision; bounded
	cause   string // as the other side, or who looked at its response, named it; bounded
	fault   Fault
	scope   Scope
	after   time.Duration
	since   time.Time
	unknown bool
	quiet   bool
	stated  bool // it says what follows; else it only describes a failure, see Since and Failure
}

// Kind is what became of the attempt.
func (o Outcome) Kind() Kind { return o.kind }

// Reason is why it was skipped, postponed or given up, [a-z-]{1,40}: a metric's label. Empty where the kind says it all. An outer
// statement without a reason has that of the inner one.
func (o Outcome) Reason() string { return o.reason }

// Cause is what went wrong in a bounded word, [a-z0-9-]{1,40}: what events and a sender's metrics tell. Empty where nobody said.
func (o Outcome) Cause() string { return o.cause }

// Fault is whose fault it is.
func (o Outcome) Fault() Fault { return o.fault }

// Scope is what else fails for the same cause.
func (o Outcome) Scope() Scope { return o.scope }

// After is the delay that was named, by the other side or by us; 0 for none.
func (o Outcome) After() time.Duration { return o.after }

// Since is from when attempts count; zero for the input's own time.
func (o Outcome) Since() time.Time { return o.since }

// Unknown reports whether the effect may have happened.
func (o Outcome) Unknown() bool { return o.unknown }

// Quiet reports whether nothing was tried, so that there is nothing to log.
func (o Outcome) Quiet() bool { return o.quiet }

// Stated reports whether an outcome was stated at all. Of a plain error the runner may know more: that the broker is away.
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

// Permanent is a failure that no retry can mend. The input becomes a dead letter now.
func Permanent(err error) error { return &stated{Outcome{kind: GaveUp, stated: true}, err} }

// PermanentFor is Permanent with the reason that the dead letter and the metrics tell.
func PermanentFor(reason string, err error) error {
	return &stated{Outcome{kind: GaveUp, reason: bounded(reason), stated: true}, err}
}

// Refused is a failure that no retry can mend, of which it is known whose fault it is. The cause is bounded, [a-z0-9-]{1,40}.
func Refused(whose Fault, cause string, err error) error {
	return Permanent(Failure(whose, cause, err))
}

// Failure is a failure that may pass, of which it is known whose fault it is: the input is tried again with the stage's backoff.
// The cause is bounded, [a-z0-9-]{1,40}; empty where err says it all.
func Failure(whose Fault, cause string, err error) error {
	return &stated{Outcome{kind: Failed, cause: cause, fault: whose}, err}
}

// RetryAfter is a failure after which the other side said when to come again. No attempt comes sooner.
func RetryAfter(d time.Duration, err error) error {
	return &stated{Outcome{kind: Failed, after: d, stated: true}, err}
}

// Unknown is a failure after which the effect may have happened: the request left us, and no response came. The claim of an effect
// stage is not given back.
func Unknown(err error) error {
	return &stated{Outcome{kind: Failed, unknown: true, stated: true}, err}
}

// Panicked is a panic: the next version of the program may not panic, and nobody saw how far the work had come.
func Panicked(err error) error {
	return &stated{Outcome{kind: Failed, reason: "panic", unknown: true, fault: Ours, stated: true}, err}
}

// Down marks a failure as one of the whole other side: it does not respond, or returns nothing but errors. A circuit breaker opens
// for it.
func Down(err error) error {
	return &stated{Outcome{kind: Failed, scope: Service}, err}
}

// NeedsOperator is a failure that only the operator can fix: the input is held, with all others within the scope, and never given up
// as somebody else's fault. The cause is bounded, [a-z0-9-]{1,40}; empty where err says it all.
func NeedsOperator(scope Scope, cause string, err error) error {
	return &stated{Outcome{kind: Held, scope: scope, cause: cause, fault: Operator, stated: true}, err}
}

// Later postpones the input by our own choice before anything was tried (a rate limit). It is never given up for that. The reason
// is bounded, [a-z-]{1,40}.
func Later(d time.Duration, reason string) error {
	return NotTried(d, reason, errors.New(reason))
}

// NotTried is Later with an error that says more than the reason.
func NotTried(d time.Duration, reason string, err error) error {
	return &stated{Outcome{kind: Waits, reason: bounded(reason), after: d, quiet: true, stated: true}, err}
}

// PutOff is Later for an attempt that failed with err. The failure is not held against the input, because the other side fails for
// every input, or because only the operator can help.
func PutOff(d time.Duration, reason string, err error) error {
	return &stated{Outcome{kind: Waits, reason: bounded(reason), after: d, stated: true}, err}
}

// Away is a failure of one of our own parts (the broker, the memory of claims, the end of the program). The input is tried again
// soon, for as long as it lasts.
func Away(reason string, err error) error { return PutOff(0, reason, err) }

// Skip ends the work on purpose, without an output. The reason is bounded, [a-z-]{1,40}.
func Skip(reason string) error {
	return &stated{Outcome{kind: Skips, reason: bounded(reason), stated: true}, errors.New(reason)}
}

// Since sets from when attempts count, where that is later than the input's own time: until then it waited for another party. It
// changes nothing else of what err states.
func Since(t time.Time, err error) error { return &stated{Outcome{kind: Failed, since: t}, err} }

// Of is the outcome that err carries. The outermost statement decides the kind and the reason. A delay that was named, and that the
// effect may have happened, count wherever they were said within it; the cause, the fault and the scope are the outermost ones.
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

// first is the outermost error within err that states what follows.
func first(err error) *stated {
	for e := range statements(err) {
		if e.stated {
			return e
		}
	}
	return nil
}

// statements yields every outcome within err, from the outside in.
func statements(err error) func(yield func(*stated) bool) {
	return func(yield func(*stated) bool) { walk(err, yield) }
}

func walk(err error, yield func(*stated) bool) bool {
	for err != nil {
		if e, ok := err.(*stated); ok && !yield(e) { //nolint:errorlint // each error of the chain is looked at by itself
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

var words = regexp.MustCompile(`^[a-z-]{1,40}$`)

// bounded keeps a stage's own reason from becoming a metric without bounds.
func bounded(reason string) string {
	if words.MatchString(reason) {
		return reason
	}
	return "other"
}
