package enricher

import (
	"errors"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A provider's API may lag behind its own callbacks. The request is repeated every 30 s until the callback is 5 min old: ten times. For a
// callback that waited longer in our own queue, two requests are made.
const (
	lagPause = 30 * time.Second
	lagLimit = 5 * time.Minute
)

var (
	errUnconfirmed    = errors.New("the provider's API does not confirm it")
	errDenied         = outcome.Permanent(errUnconfirmed) // after the maximum lag of an API
	errNotConfirmable = outcome.Skip(unconfirmed)         // a later request cannot confirm it either
)

// confirm checks a callback with the provider's API before messages about it are sent, unless a signature covers its bytes. If the API has no
// data about the callback, one with a shared token is accepted, and one without authentication is refused.
func confirm(happened *signingv1.SigningEvent, document *pack.Document, attempt int, now time.Time) error {
	switch happened.GetVerification() {
	case signingv1.Verification_VERIFICATION_HMAC, signingv1.Verification_VERIFICATION_RSA,
		signingv1.Verification_VERIFICATION_CONFIRMED, signingv1.Verification_VERIFICATION_INTERNAL:
		return nil
	default:
	}
	received := happened.GetReceivedAt().AsTime()
	if happened.GetReceivedAt() == nil {
		received = event.Time(happened)
	}
	agrees, covers := agreement(happened, document)
	switch {
	case covers && agrees:
		return nil
	case !covers && happened.GetVerification() == signingv1.Verification_VERIFICATION_TOKEN:
		return nil
	case !covers:
		return errNotConfirmable
	case attempt > 1 && now.Sub(received) >= lagLimit:
		return errDenied
	default:
		return outcome.RetryAfter(lagPause, errUnconfirmed)
	}
}

// agreement reports whether the API has data about the event's content, and whether the two agree.
func agreement(happened *signingv1.SigningEvent, document *pack.Document) (agrees, covers bool) {
	if document.Status == pack.StatusUnknown {
		return false, false
	}
	var acted recipient.Person
	people := recipient.Distinct(document.Recipients)
	if who := recipient.Actor(people, happened); who >= 0 {
		acted = people[who]
	}
	switch happened.GetType() {
	case event.DocumentCompleted:
		return document.Status == pack.StatusCompleted, true
	case event.DocumentDeclined:
		return slices.Contains(withdrawn, document.Status), true
	case event.DocumentVoided:
		return document.Status == pack.StatusVoided, true
	case event.DocumentExpired:
		return document.Status == pack.StatusExpired || document.Status == pack.StatusVoided, true
	case event.RecipientSigned:
		return acted.Signed || document.Status == pack.StatusCompleted, true
	case event.RecipientDeclined:
		return acted.Declined || slices.Contains(withdrawn, document.Status), true
	case event.RecipientUndeliverable:
		return false, false // the API does not return the delivery of an e-mail
	default:
		return true, true // the document was sent: the API has it, and its data determines the invited people
	}
}

// withdrawn are the states of a declined document. Some APIs do not distinguish declined from voided.
var withdrawn = []pack.Status{pack.StatusDeclined, pack.StatusVoided}
