package enricher

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// plan decides which person gets which message on which channel. It is pure, so that a table can test it. The document comes from the
// provider's API. The caller has checked that it is not too late for messages (see over).
func plan(src config.Source, happened *signingv1.SigningEvent, document *pack.Document, past history) recipient.Messages {
	p := planner{
		Maker: recipient.Maker{Source: src, Happened: happened, Document: document, Sendings: past.Sendings, Invited: func(id string) string {
			c, _ := past.Correction(id)
			return c.ID
		}},
		signers: newSigners(happened, document, past), linkless: past.linkless,
	}
	if happened.GetType() == event.NotificationFallback {
		p.fallBack()
		return p.Messages
	}
	if happened.GetType() == event.ResendRequested {
		p.resend()
		return p.Messages
	}
	if happened.GetType() == event.RecipientCorrected {
		p.inviteCorrected()
		return p.Messages
	}
	p.People(p.signers.people)
	for _, kind := range event.KindsAfter(happened.GetType()) {
		if src.Notify.WantsKind(event.KindName(kind)) {
			p.plan(p.About(kind))
		}
	}
	return p.Messages
}

// planner collects the messages of one event.
type planner struct {
	recipient.Maker
	signers  signers
	linkless map[string]bool // see history
}

func (p *planner) plan(about *notifyv1.Notification) {
	// If a document was sent, signed or completed, but the list of signers is empty, the provider's list is not ready yet.
	if len(p.signers.people) == 0 && event.KindOf(about.GetKind()).Signers {
		p.AwaitSigners(about)
		return
	}
	switch about.GetKind() {
	case notifyv1.Kind_KIND_INVITATION:
		p.invite(about)
	case notifyv1.Kind_KIND_PROGRESS:
		p.progress(about)
	case notifyv1.Kind_KIND_REMINDER:
		p.remind(about)
	case notifyv1.Kind_KIND_COMPLETED:
		for _, who := range p.signers.people {
			p.Notify(about, who)
		}
	case notifyv1.Kind_KIND_DECLINED:
		about.ActorName = recipient.ActorName(p.signers.people, p.signers.actor, p.Happened)
		p.end(about)
	case notifyv1.Kind_KIND_VOIDED, notifyv1.Kind_KIND_EXPIRED:
		p.end(about)
	case notifyv1.Kind_KIND_UNDELIVERABLE:
		p.undeliverable(about)
	default: // no event causes another kind
	}
}

// invite plans invitations for the signers whose turn it is. When the document is sent, these are all of them. At a signature, these are the
// signers whose turn comes with it, and those who had no link when the document was sent. A signer who was invited already, without an order
// or as the first, is not invited again by a signature.
func (p *planner) invite(about *notifyv1.Notification) {
	for _, who := range p.signers.people {
		switch {
		case !who.Invite, who.Signed, who.Declined, !p.signers.turn(who):
		case p.signers.signature && p.signers.knew(who) && !p.gaveUp(about, who):
		default:
			p.Notify(about, who)
		}
	}
}

// remind plans a reminder to the person of reminder.due, who may have signed at the provider meanwhile, or may wait for another signer.
func (p *planner) remind(about *notifyv1.Notification) {
	who, waits := p.waiting(about)
	switch {
	case !waits:
	case who.RemindedByProvider && !p.Source.Reminders.ProviderToo:
		p.Withhold(about, who.ID, recipient.ProviderReminds)
	default:
		p.Notify(about, who)
	}
}

// waiting returns the person that the event names, if it is the person's turn to sign now. Otherwise it withholds the message, with the reason.
func (p *planner) waiting(about *notifyv1.Notification) (who recipient.Person, waits bool) {
	id := p.Happened.GetRecipient().GetId()
	i := recipient.Only(p.signers.people, func(listed recipient.Person) bool { return listed.ID != "" && listed.ID == id })
	if i < 0 {
		p.Withhold(about, id, recipient.NotListed)
		return who, false
	}
	switch who = p.signers.people[i]; {
	case who.Signed:
		p.Withhold(about, id, event.OverSigned)
	case who.Declined:
		p.Withhold(about, id, event.OverDeclined)
	case !p.signers.turn(who):
		p.Withhold(about, id, recipient.NotTheirTurn)
	default:
		return who, true
	}
	return who, false
}

// gaveUp reports whether this invitation was suppressed for lack of a link, and there is a link now. A provider may add a person's link when
// that person's turn comes, even if it does not report the signing order.
func (p *planner) gaveUp(about *notifyv1.Notification, who recipient.Person) bool {
	if !p.HasLink(about.GetKind(), who) {
		return false
	}
	for _, id := range append(p.IDs(about, who), p.IDWithoutSigners(about)) {
		if p.linkless[id] {
			return true
		}
	}
	return false
}

// progress plans messages with the number of missing signatures to the other signers who knew the document before. A signer whose turn has
// just come gets the invitation instead, and later signers get no message yet. There are none after the last signature, because the messages
// about document.completed follow, and none with a single signer.
func (p *planner) progress(about *notifyv1.Notification) {
	about.SignaturesMissing = uint32(p.signers.missing())
	if about.GetSignaturesMissing() == 0 {
		return
	}
	about.ActorName = recipient.ActorName(p.signers.people, p.signers.actor, p.Happened)
	for i, who := range p.signers.people {
		if i != p.signers.actor && p.signers.knew(who) {
			p.Notify(about, who)
		}
	}
}

// end plans messages that the document can no longer be signed. They go to the sender, and to the signers who knew the document, except for
// those who declined.
func (p *planner) end(about *notifyv1.Notification) {
	for _, who := range p.signers.people {
		if !who.Declined && p.signers.knew(who) {
			p.Notify(about, who)
		}
	}
	p.NotifySender(about, nil)
}

// undeliverable plans a message to the sender about a person whom the document did not reach. Such a callback may arrive an hour late. A
// person who has signed by then was reached.
func (p *planner) undeliverable(about *notifyv1.Notification) {
	if who := p.signers.actor; who >= 0 && p.signers.people[who].Signed {
		return
	}
	about.ActorName = recipient.ActorName(p.signers.people, p.signers.actor, p.Happened)
	p.NotifySender(about, p.correctionLink())
}
