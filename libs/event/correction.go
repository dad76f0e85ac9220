package event

import (
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The attributes of the events about corrected people and repeated invitations.
const (
	AttributeBy      = "by"      // BySender, or the operator's name
	AttributeReason  = "reason"  // of an order: why; of a refusal: the cause, bounded
	AttributeOrder   = "order"   // of an outcome: the id of the order's event
	AttributeMessage = "message" // of a refusal: the provider's explanation; it may name the person

	// The attributes of recipient.corrected.
	AttributePrevious       = "previous"        // the provider's id of the person before, if the correction has changed it
	AttributeScope          = "scope"           // AtProvider or OwnMessages
	AttributePreviousEmail  = "previous_email"  // as the provider wrote it; only for OwnMessages
	AttributePreviousMobile = "previous_mobile" // likewise
)

// BySender is the attribute by of an order of the document's sender, who has no name here.
const BySender = "sender"

// The scopes of corrections.
const (
	AtProvider  = "provider" // the provider has corrected the person
	OwnMessages = "messages" // only the messages of Signrelay go to the corrected person, because the provider's API cannot change a person
)

// The reasons of correction.refused and resend.refused, beside those for which a document does not wait for a person (OverSigned and its like).
const (
	RefusedNoAPI        = "no-api"          // the settings have no API for the source
	RefusedNotAllowed   = "not-allowed"     // the details break a rule
	RefusedUnchanged    = "nothing-changed" // the person has these details already
	RefusedByProvider   = "refused"         // attributes.message has the provider's explanation
	RefusedNotSupported = "not-supported"   // the provider's API has no call for it
)

// ByProvider is the attribute channels of a resend.requested that the provider fulfils with its own message.
const ByProvider = "provider"

// Correction is a recipient.corrected.
type Correction struct {
	ID         string
	At         time.Time
	Person     *signingv1.Recipient // as corrected
	AtProvider bool
	// PreviousEmail and PreviousMobile are the addresses that the provider still has. A correction for the messages of Signrelay replaces them, and
	// nothing else: the sender may change the person at the provider later.
	PreviousEmail, PreviousMobile string
}

// correct adds a recipient.corrected to the past. It is made by Signrelay, so its times do not depend on a provider's clock.
func (p *Past) correct(e *signingv1.SigningEvent) {
	c := Correction{
		ID: e.GetId(), At: Time(e), Person: e.GetRecipient(), AtProvider: e.GetAttributes()[AttributeScope] == AtProvider,
		PreviousEmail: e.GetAttributes()[AttributePreviousEmail], PreviousMobile: e.GetAttributes()[AttributePreviousMobile],
	}
	id := c.Person.GetId()
	if before, known := p.Corrections[id]; !known || c.At.After(before.At) {
		p.Corrections[id] = c
	}
	if previous := e.GetAttributes()[AttributePrevious]; previous != "" && previous != id {
		p.Replaced[previous] = id
	}
}

// Correction returns the correction with which the person is invited again: the latest one, if the document was not sent again since.
func (p Past) Correction(recipient string) (Correction, bool) {
	c, corrected := p.Corrections[recipient]
	return c, corrected && c.At.After(p.Sent())
}
