package enricher

import (
	"errors"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// operatorPause is the delay if only the operator can fix the cause. With the policy's 151 attempts, this is a day and a half to fix a setting.
const operatorPause = 15 * time.Minute

// outcomeOf returns the stage's error for a failed request to a provider's REST API. If the operator must act, each attempt counts.
func outcomeOf(err error) error {
	switch o := outcome.Of(err); {
	case errors.Is(err, pack.ErrNotOurs):
		return outcome.Skip("other-group")
	case o.Kind() == outcome.Held:
		return outcome.RetryAfter(max(operatorPause, o.After()), err)
	default:
		return err
	}
}

// A provider may list a signer before the signer has a link, or a document before its signers. The request is repeated after 5 s, and then
// after the time that has passed since the event, at most 5 min: 17 times in an hour. A link that is still missing then needs an action at
// the provider: an earlier signer signs, or the document is sent again. That action has its own callback, which invites the signer.
const (
	firstPause  = 5 * time.Second
	longPause   = 5 * time.Minute
	notYetLimit = time.Hour
)

// notYet returns a retry, or nil after the limit. For an event that waited longer than the limit in our own queue, two requests are made.
func notYet(stored time.Time, attempt int, now time.Time) error {
	age := now.Sub(stored)
	if attempt > 1 && age >= notYetLimit {
		return nil
	}
	return outcome.Later(min(max(age, firstPause), longPause), "not-yet")
}
