package enricher

import (
	"errors"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A provider's API may lag behind its own callbacks. It is asked again every half minute, until the callback is five
// minutes old: ten times. What waited longer than that in our own queue is asked about twice.
const (
	lagPause = 30 * time.Second
	lagLimit = 5 * time.Minute
)

var (
	errUnconfirmed = errors.New("the provider's API does not confirm it")
	errDenied      = outcome.Permanent(errUnconfirmed) // for as long as an API lags behind its callbacks
	errCannotTell  = outcome.Skip(unconfirmed)         // and no later question brings another response
)

// confirm wants the provider's API to agree with a callback that no signature over its bytes vouches for, before anybody
// is told. Where the API cannot tell, a shared token is enough, and nothing at all is not.
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
	agrees, tells := agreement(happened, document)
	switch {
	case tells && agrees:
		return nil
	case !tells && happened.GetVerification() == signingv1.Verification_VERIFICATION_TOKEN:
		return nil
	case !tells:
		return errCannotTell
	case attempt > 1 && now.Sub(received) >= lagLimit:
		return errDenied
	default:
		return outcome.RetryAfter(lagPause, errUnconfirmed)
	}
}

// agreement says whether the API tells anything about what the event claims, and whether it says the same.
func agreement(happened *signingv1.SigningEvent, document *pack.Document) (agrees, tells bool) {
	if document.Status == pack.StatusUnknown {
		return false, false
	}
	var acted person
	people := distinct(document.Recipients)
	if who := actor(people, happened); who >= 0 {
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
		return false, false // what happened to a letter is not asked for
	default:
		return true, true // it has begun: the API knows the document, and who is invited follows from what it says
	}
}

// withdrawn is how the API of a provider tells that a document was declined; some do not tell it from voided.
var withdrawn = []pack.Status{pack.StatusDeclined, pack.StatusVoided}
