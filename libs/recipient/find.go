package recipient

import (
	"context"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Listed is a person who has still to sign.
type Listed struct {
	Person                  // as corrected
	Given    pack.Recipient // as the provider lists the person
	Document *pack.Document
}

// Details are the person's name and addresses, as corrected.
func (l Listed) Details() pack.Details {
	return pack.Details{FirstName: l.FirstName, LastName: l.LastName, Email: l.Email, Mobile: l.Mobile}
}

// Find requests a person from the provider's API, and applies the corrections in the log. Its errors are those of API. For a person who has not to
// sign any more, or who is not listed, it is a *pack.NotCorrectableError.
func Find(ctx context.Context, log event.Log, api pack.API, who event.Signer) (Listed, error) {
	document, err := api.Document(ctx, who.Document)
	if err != nil {
		return Listed{}, err
	}
	people := Distinct(document.Recipients)
	i := Only(people, func(p Person) bool { return p.ID != "" && p.ID == who.Recipient })
	switch {
	case document.Status != pack.StatusOpen && document.Status != pack.StatusUnknown:
		return Listed{}, &pack.NotCorrectableError{Reason: pack.HasEnded}
	case i < 0:
		return Listed{}, &pack.NotCorrectableError{Reason: pack.NotListed}
	case people[i].Signed:
		return Listed{}, &pack.NotCorrectableError{Reason: pack.HasSigned}
	case people[i].Declined:
		return Listed{}, &pack.NotCorrectableError{Reason: pack.HasDeclined}
	}
	found := Listed{Person: people[i], Given: people[i].Recipient, Document: document}
	var events []*signingv1.SigningEvent
	for stored, err := range log.Document(ctx, who, []string{event.RecipientCorrected}) {
		if err != nil {
			return Listed{}, err
		}
		events = append(events, stored.Event)
	}
	if c, corrected := event.PastOf(events).Corrections[who.Recipient]; corrected {
		found.Correct(c)
	}
	return found, nil
}
