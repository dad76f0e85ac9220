package event

import (
	"slices"
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// PastTypes are the types that PastOf reads.
var PastTypes = []string{
	DocumentSent, DocumentCompleted, DocumentDeclined, DocumentVoided, DocumentExpired, RecipientSigned, RecipientDeclined, RecipientCorrected,
}

// Past is what a document's events say about it.
type Past struct {
	Sendings   []Sending                 // the oldest first
	Signatures []*signingv1.SigningEvent // the first of each signer; each one without a person counts as a signer
	Declined   map[string]bool           // by recipient id: in the latest sending, and without a signature
	Completed  bool
	Ended      bool // completed, declined, voided or expired, and not sent again later
	// Corrections are the latest corrections of people, by the id that the provider has for the person since then.
	Corrections map[string]Correction
	// Replaced has the ids of people that the provider does not know any more, because a correction has given the person another id.
	Replaced map[string]string
}

// Sending is one document.sent.
type Sending struct {
	ID string
	At time.Time
}

// PastOf returns the past of one document from its events in any order. It ignores events without authentication, because a forged event must
// not stop messages.
func PastOf(events []*signingv1.SigningEvent) Past {
	p := Past{Declined: map[string]bool{}, Corrections: map[string]Correction{}, Replaced: map[string]string{}}
	signed := map[string]bool{}
	var over time.Time
	end := func(at time.Time) {
		if at.After(over) {
			over = at
		}
	}
	var refusals []*signingv1.SigningEvent
	for _, e := range events {
		if e.GetVerification() == signingv1.Verification_VERIFICATION_NONE {
			continue
		}
		switch at := Time(e); e.GetType() {
		case DocumentSent:
			p.Sendings = append(p.Sendings, Sending{ID: e.GetId(), At: at})
		case DocumentCompleted:
			p.Completed = true
		case DocumentDeclined, DocumentVoided, DocumentExpired:
			end(at)
		case RecipientSigned:
			if key := signerKey(e); !signed[key] {
				signed[key] = true
				p.Signatures = append(p.Signatures, e)
			}
		case RecipientDeclined:
			refusals = append(refusals, e)
		case RecipientCorrected:
			p.correct(e)
		}
	}
	slices.SortStableFunc(p.Sendings, func(a, b Sending) int { return a.At.Compare(b.At) })
	for _, e := range refusals {
		if at := Time(e); !signed[signerKey(e)] && !p.sentAfter(at) { // a person who signed later has changed the decision
			p.Declined[e.GetRecipient().GetId()] = true
			end(at)
		}
	}
	p.Ended = p.Completed || !over.IsZero() && !p.sentAfter(over)
	return p
}

// Sent is the time of the latest sending; zero for none.
func (p Past) Sent() time.Time {
	if len(p.Sendings) == 0 {
		return time.Time{}
	}
	return p.Sendings[len(p.Sendings)-1].At
}

// sentAfter reports whether the document was sent later: a request that expired or was declined can be sent again.
func (p Past) sentAfter(at time.Time) bool { return at.Before(p.Sent()) }

// SignedBy reports whether the person with that id has signed; false for an empty id.
func (p Past) SignedBy(recipient string) bool {
	return recipient != "" && slices.ContainsFunc(p.Signatures, func(e *signingv1.SigningEvent) bool { return e.GetRecipient().GetId() == recipient })
}

// signerKey identifies a signer by the provider's id. A signature without a person counts as a separate signer.
func signerKey(signature *signingv1.SigningEvent) string {
	if id := signature.GetRecipient().GetId(); id != "" {
		return id
	}
	return "event/" + signature.GetId()
}
