package notification

import (
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/stage"
)

// HandoverError is a handing over that did not succeed.
type HandoverError struct {
	// Reason is bounded, [a-z0-9-]{1,40}: it is what notification.failed tells the log.
	Reason string
	// Err is the cause, with nothing personal in it; nil where the reason says it all.
	Err error

	doubtful bool // made by Doubtful
}

func (t *HandoverError) Error() string {
	if t.Err == nil {
		return t.Reason
	}
	return t.Reason + ": " + t.Err.Error()
}

func (t *HandoverError) Unwrap() error { return t.Err }

// Again is trouble that passes: the stage's own back-off tries again. Nothing was handed over.
func Again(reason string, cause error) error {
	return &HandoverError{Reason: reason, Err: cause}
}

// AgainIn is trouble whose other side said when to come again.
func AgainIn(wait time.Duration, reason string, cause error) error {
	return stage.RetryAfter(wait, Again(reason, cause))
}

// operatorPause is how long a stage waits where only the operator can help: with the policy's 151 attempts that is a day
// and a half in which to pay a bill or mend a setting.
const operatorPause = 15 * time.Minute

// OperatorMustAct is trouble with an account or a setting, not with the message.
func OperatorMustAct(reason string, cause error) error {
	return AgainIn(operatorPause, reason, cause)
}

// Refused is trouble with the message or its reader, which no retry mends.
func Refused(reason string, cause error) error {
	return stage.Permanent(Again(reason, cause))
}

// Doubtful is trouble after which nobody knows whether the message was handed over. It is not handed over again sooner than
// the sender's WordWithin.
func Doubtful(reason string, cause error) error {
	return stage.Unknown(&HandoverError{Reason: reason, Err: cause, doubtful: true})
}

// doubtful tells whether nobody knows if the message was handed over.
func doubtful(err error) bool {
	var trouble *HandoverError
	return errors.As(err, &trouble) && trouble.doubtful
}

// waitForWord puts the attempt after a doubtful one off until word of it would have come.
func waitForWord(err error, within time.Duration) error {
	if within > 0 && doubtful(err) {
		return stage.Unknown(stage.RetryAfter(within, err))
	}
	return err
}
