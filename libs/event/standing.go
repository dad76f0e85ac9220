package event

import (
	"context"
	"slices"
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Signer is a person on a document, by the provider's ids.
type Signer struct {
	Source, Provider    string
	Document, Recipient string
}

// SignerOf returns the person on the document that e is about.
func SignerOf(e *signingv1.SigningEvent) Signer {
	return Signer{e.GetSource(), e.GetProvider(), e.GetDocument().GetId(), e.GetRecipient().GetId()}
}

// The reasons why a document does not wait for a person's signature any more.
const (
	OverSigned   = "signed"         // the person has signed
	OverDeclined = "declined"       // the person has declined
	OverDocument = "document-ended" // the document is completed, declined, voided or expired
	OverOptedOut = OptedOut         // the person does not want messages about the document
	// OverCorrected means that the person was corrected, and has another id since then. A message with this reason is for an address from before a
	// correction.
	OverCorrected = "corrected"
)

// AllChannels is the attribute channel of an opt-out from all messages about one document. A reply to a text ends only texts.
const AllChannels = "all"

// Standing is what the log says about a person on a document.
type Standing struct {
	// Over is the reason why the document does not wait for the person's signature any more; empty while it does.
	Over string
	// Sending is the id of the latest document.sent, or the id that such an event would have. Sent is its time; zero if there is none. A correction
	// of the person after that is a sending of its own: the person is invited again, and the invitation before it does not count any more.
	Sending string
	Sent    time.Time
}

// standingTypes are the types that Standing reads, each by its exact subject.
var standingTypes = append(slices.Clone(PastTypes), RecipientOptedOut, RecipientOptedIn)

// Standing reads what the log says about a person on a document. A document that ended and was sent again waits again, unless it was completed.
// Events without authentication do not count, because a forged event must not stop a message.
func (l Log) Standing(ctx context.Context, who Signer) (Standing, error) {
	var events []*signingv1.SigningEvent
	for stored, err := range l.Document(ctx, who, standingTypes) {
		if err != nil {
			return Standing{}, err
		}
		events = append(events, stored.Event)
	}
	return standingOf(events, who), nil
}

// StandingWith works like Standing. It also reports whether the log has an event of another type about the document, without another request.
func (l Log) StandingWith(ctx context.Context, who Signer, typ string) (is Standing, has bool, err error) {
	subjects := subjectsOf(who, append(slices.Clone(standingTypes), typ))
	present, err := l.Present(ctx, subjects...)
	if err != nil {
		return Standing{}, false, err
	}
	var events []*signingv1.SigningEvent
	for stored, err := range l.documentAt(ctx, who, subjects[:len(standingTypes)], present) {
		if err != nil {
			return Standing{}, false, err
		}
		events = append(events, stored.Event)
	}
	return standingOf(events, who), present[subjects[len(standingTypes)]], nil
}

func standingOf(events []*signingv1.SigningEvent, who Signer) Standing {
	past := PastOf(events)
	s := Standing{Sent: past.Sent()}
	if n := len(past.Sendings); n > 0 {
		s.Sending = past.Sendings[n-1].ID
	} else {
		s.Sending = TransitionID(&signingv1.SigningEvent{
			Source: who.Source, Provider: who.Provider, Type: DocumentSent, Document: &signingv1.Document{Id: who.Document},
		})
	}
	corrected, is := past.Correction(who.Recipient)
	if is {
		s.Sending, s.Sent = corrected.ID, corrected.At
	}
	switch {
	case past.SignedBy(who.Recipient):
		s.Over = OverSigned
	case who.Recipient != "" && past.Replaced[who.Recipient] != "":
		s.Over = OverCorrected
	case who.Recipient != "" && past.Declined[who.Recipient]:
		s.Over = OverDeclined
	case past.Ended:
		s.Over = OverDocument
	case who.Recipient != "" && optedOut(events, who.Recipient, past.Corrections[who.Recipient].At):
		s.Over = OverOptedOut
	}
	return s
}

// optedOut reports whether the person's latest wish since a time is to get no messages about the document. A wish before a correction of the
// person is the wish of another person, who had got the link.
func optedOut(events []*signingv1.SigningEvent, recipient string, since time.Time) bool {
	latest := map[string]time.Time{}
	for _, e := range events {
		typ, at := e.GetType(), Time(e)
		wish := typ == RecipientOptedOut || typ == RecipientOptedIn
		authentic := e.GetVerification() != signingv1.Verification_VERIFICATION_NONE
		if wish && authentic && e.GetRecipient().GetId() == recipient && e.GetAttributes()["channel"] == AllChannels && at.After(latest[typ]) && !at.Before(since) {
			latest[typ] = at
		}
	}
	return latest[RecipientOptedOut].After(latest[RecipientOptedIn])
}
