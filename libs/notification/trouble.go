package notification

import (
	"context"
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
)

// Fault is whose fault it is that a message did not leave.
type Fault string

// Those whose fault it can be.
const (
	Recipient Fault = "recipient" // the address or number, or the recipient's own choice
	Operator  Fault = "operator"  // the account, its money, a setting, a template, the sender's address
	Provider  Fault = "provider"  // the SMS vendor or a mail server
	Ours      Fault = "ours"      // a mistake in this program
)

// HandoverError is a delivery that did not succeed.
type HandoverError struct {
	// Reason is bounded, [a-z0-9-]{1,40}: it is what notification.failed tells the log.
	Reason string
	// Err is the cause, with nothing personal in it; nil where the reason says it all.
	Err error
	// Fault is whose fault it is.
	Fault Fault

	doubtful bool // made by Doubtful
	down     bool // made by Down
	hold     hold // made by OperatorMustAct, OperatorMustActFor or NotAllowed
	country  string
}

// hold is how far an operator's fault reaches.
type hold int

const (
	noHold      hold = iota
	reasonHold       // messages that were refused for the same reason
	accountHold      // every message of the channel
	limitHold        // this message alone
)

func (t *HandoverError) Error() string {
	if t.Err == nil {
		return t.Reason
	}
	return t.Reason + ": " + t.Err.Error()
}

func (t *HandoverError) Unwrap() error { return t.Err }

// Whose is whose fault it is, for the dead letter.
func (t *HandoverError) Whose() string { return string(t.Fault) }

// Again is a problem that passes: the stage's own back-off tries again. The other side did not accept the message.
func Again(reason string, cause error) error {
	return &HandoverError{Reason: reason, Err: cause, Fault: Provider}
}

// AgainIn is a problem for which the other side said when to try again.
func AgainIn(wait time.Duration, reason string, cause error) error {
	return outcome.RetryAfter(wait, Again(reason, cause))
}

// OperatorMustAct is a problem with the account or a setting, which would affect every other message too. All messages of the
// channel are held until one gets through.
func OperatorMustAct(reason string, cause error) error {
	return outcome.PutOff(mostWait, "operator", &HandoverError{Reason: reason, Err: cause, Fault: Operator, hold: accountHold})
}

// OperatorMustActFor is a problem that only the operator can fix, and that need not affect other messages. This message is
// held, with those that were refused for the same reason.
func OperatorMustActFor(reason string, cause error) error {
	return outcome.PutOff(mostWait, "operator", &HandoverError{Reason: reason, Err: cause, Fault: Operator, hold: reasonHold})
}

// Refused is a problem with the message or its recipient that no retry fixes.
func Refused(reason string, cause error) error { return RefusedBy(Recipient, reason, cause) }

// RefusedBy is Refused for a fault of another party than the recipient.
func RefusedBy(whose Fault, reason string, cause error) error {
	return outcome.Permanent(&HandoverError{Reason: reason, Err: cause, Fault: whose})
}

// Doubtful is a problem with a request that has left us, after which it is unknown whether the other side accepted the
// message. The message is not sent again sooner than the sender's WordWithin.
func Doubtful(reason string, cause error) error {
	return outcome.Unknown(&HandoverError{Reason: reason, Err: cause, Fault: Provider, doubtful: true})
}

// Down marks an error of Again, AgainIn or Doubtful as the other side's failure to respond at all, or with more than an
// error: while it fails so for every message, its circuit is open.
func Down(err error) error {
	if trouble := new(HandoverError); errors.As(err, &trouble) {
		trouble.down = true
	}
	return err
}

// waitForWord puts the attempt after a doubtful one off until word of it would have come.
func waitForWord(err error, within time.Duration) error {
	if trouble := new(HandoverError); within > 0 && errors.As(err, &trouble) && trouble.doubtful {
		return outcome.Unknown(outcome.RetryAfter(within, err))
	}
	return err
}

// Left says that the whole message has left this program: from now on it may have been handed over, whatever happens. A
// sender says so when the last byte of its request was written.
func Left(ctx context.Context) {
	if left, ok := ctx.Value(leftKey{}).(func()); ok {
		left()
	}
	stage.Left(ctx)
}

type leftKey struct{}
