package enricher

import (
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// signers are the people of a document at the time of an event.
type signers struct {
	people     []recipient.Person // Signed and Declined according to the API, the log, or the event itself
	actor      int                // the index in people of the person that the event is about; -1 if none matches
	signature  bool               // the event is the actor's signature
	signatures int                // their number
}

func newSigners(happened *signingv1.SigningEvent, document *pack.Document, past history) signers {
	s := signers{people: recipient.Distinct(document.Recipients), signature: happened.GetType() == event.RecipientSigned}
	s.actor = recipient.Actor(s.people, happened)
	if happened.GetType() == event.DocumentDeclined && happened.GetRecipient() == nil {
		s.actor = recipient.Only(s.people, func(p recipient.Person) bool { return p.Declined })
	}
	for _, signature := range past.Signatures {
		if who := recipient.Actor(s.people, signature); who >= 0 {
			s.people[who].Signed = true
		}
	}
	for i := range s.people {
		p := &s.people[i]
		p.Declined = p.Declined || past.Declined[p.ID] && p.ID != ""
		if i == s.actor {
			p.Signed = p.Signed || s.signature
			p.Declined = p.Declined || happened.GetType() == event.DocumentDeclined || happened.GetType() == event.RecipientDeclined
		}
		if p.Signed {
			s.signatures++
		}
	}
	for i := range s.people { // after all comparisons with callbacks, which have the provider's addresses
		if c, corrected := past.Corrections[s.people[i].ID]; corrected {
			s.people[i].Correct(c)
		}
	}
	// The log may contain signers with ids that the API does not have. So the larger of the two counts is used.
	s.signatures = max(s.signatures, len(past.Signatures))
	return s
}

// missing counts the signatures still missing, never below zero.
func (s signers) missing() int { return max(len(s.people)-s.signatures, 0) }

// turn reports whether a person may sign now: all people with a lower order have signed.
func (s signers) turn(who recipient.Person) bool {
	for _, other := range s.people {
		if other.Order < who.Order && !other.Signed {
			return false
		}
	}
	return true
}

// knew reports whether a person knew the document before the event: a person who has signed, or whose turn had come. It ignores the actor's
// own signature, so it is false for a person whose turn came with that signature. A signature of an unknown person may be from any of them.
func (s signers) knew(who recipient.Person) bool {
	if who.Signed {
		return true
	}
	for i, other := range s.people {
		if other.Order >= who.Order {
			continue
		}
		if !other.Signed || s.signature && (s.actor == i || s.actor < 0) {
			return false
		}
	}
	return true
}
