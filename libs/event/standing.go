package event

import (
	"context"
	"fmt"
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
)

// AllChannels is the attribute channel of an opt-out from all messages about one document. A reply to a text ends only texts.
const AllChannels = "all"

// Standing is what the log says about a person on a document.
type Standing struct {
	// Over is the reason why the document does not wait for the person's signature any more; empty while it does.
	Over string
	// Sending is the id of the latest document.sent, or the id that such an event would have. Sent is its time; zero if there is none.
	Sending string
	Sent    time.Time
}

// standingTypes are the types that Standing reads, each by its exact subject.
var standingTypes = []string{
	DocumentSent, DocumentCompleted, DocumentDeclined, DocumentVoided, DocumentExpired, RecipientSigned, RecipientDeclined, RecipientOptedOut,
	RecipientOptedIn,
}

// Standing reads what the log says about a person on a document. A document that ended and was sent again waits again. Events without
// authentication do not count, because a forged event must not stop a message.
func (l Log) Standing(ctx context.Context, who Signer) (Standing, error) {
	s := Standing{Sending: TransitionID(&signingv1.SigningEvent{
		Source: who.Source, Provider: who.Provider, Type: DocumentSent, Document: &signingv1.Document{Id: who.Document},
	})}
	subjects := make([]string, len(standingTypes))
	for i, typ := range standingTypes {
		subjects[i] = SubjectOf(who.Source, who.Provider, typ, who.Document)
	}
	present, err := l.Present(ctx, subjects...)
	if err != nil {
		return Standing{}, err
	}
	var ended, optedOut, optedIn time.Time
	signed, declined := map[string]bool{}, map[string]time.Time{}
	for i, typ := range standingTypes {
		if !present[subjects[i]] {
			continue
		}
		for m, err := range l.Messages(ctx, subjects[i], time.Time{}) {
			if err != nil {
				return Standing{}, err
			}
			e, err := Decode(m.Data)
			if err != nil {
				return Standing{}, fmt.Errorf("read the document's past: %w", err)
			}
			if e.GetVerification() == signingv1.Verification_VERIFICATION_NONE || e.GetDocument().GetId() != who.Document {
				continue // two ids may have one token
			}
			switch at, person := Time(e), e.GetRecipient().GetId(); {
			case typ == DocumentSent && !at.Before(s.Sent):
				s.Sent, s.Sending = at, e.GetId()
			case typ == RecipientOptedOut || typ == RecipientOptedIn:
				if person != who.Recipient || e.GetAttributes()["channel"] != AllChannels {
					continue
				}
				if latest := map[string]*time.Time{RecipientOptedOut: &optedOut, RecipientOptedIn: &optedIn}[typ]; at.After(*latest) {
					*latest = at
				}
			case typ == RecipientSigned:
				signed[person] = true
			case typ == RecipientDeclined && at.After(declined[person]):
				declined[person] = at
			case Entity(typ) == entityDocument && typ != DocumentSent && at.After(ended):
				ended = at
			}
		}
	}
	for person, at := range declined {
		if !signed[person] && !at.Before(s.Sent) && at.After(ended) { // a person who signed later has changed the decision
			ended = at
		}
	}
	switch at, refused := declined[who.Recipient]; {
	case signed[who.Recipient] && who.Recipient != "":
		s.Over = OverSigned
	case refused && who.Recipient != "" && !at.Before(s.Sent):
		s.Over = OverDeclined
	case !ended.IsZero() && !ended.Before(s.Sent):
		s.Over = OverDocument
	case optedOut.After(optedIn) && who.Recipient != "":
		s.Over = OverOptedOut
	}
	return s, nil
}
