package enricher

import (
	"cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// planned is what follows from one event.
type planned struct {
	told    []*notifyv1.Notification
	untold  []untold
	waiting []untold // as it is now; when the provider is asked again, they may be told
}

// untold is a message that somebody was to get and cannot.
type untold struct {
	message *notifyv1.Notification // without an address
	reason  string
}

// plan says who is told what on which channel: pure, so that a table is its test. The document is as the provider's API
// tells it, and it is not too late (see over).
func plan(src config.Source, happened *signingv1.SigningEvent, document *pack.Document, past history) planned {
	p := planner{
		source: src, document: document, happened: happened, past: past,
		signers: newSigners(happened, document, past),
	}
	for i := range p.signers.people {
		p.signers.people[i].readers = p.readers(p.signers.people[i].Recipient)
	}
	share(p.signers.people)
	for _, kind := range event.KindsAfter(happened.GetType()) {
		if allowed(src.Notify.Kinds, event.KindName(kind)) {
			p.plan(p.about(kind))
		}
	}
	return p.planned
}

// planner collects the messages of one event.
type planner struct {
	source   config.Source
	happened *signingv1.SigningEvent
	document *pack.Document
	past     history
	signers  signers
	planned
}

// about is what all messages of a kind have in common.
func (p *planner) about(kind notifyv1.Kind) *notifyv1.Notification {
	return &notifyv1.Notification{
		EventId: p.happened.GetId(), Source: p.happened.GetSource(), Provider: p.happened.GetProvider(),
		DocumentId: p.happened.GetDocument().GetId(), DocumentTitle: cmp.Or(p.document.Title, p.happened.GetDocument().GetTitle()),
		Kind: kind, SenderName: p.source.SenderName, Locale: p.source.Locale, OccurredAt: p.happened.GetOccurredAt(),
	}
}

func (p *planner) plan(about *notifyv1.Notification) {
	// If a document was sent, signed or completed, an empty list of signers is a list that is not ready yet.
	if len(p.signers.people) == 0 && event.KindOf(about.GetKind()).Signers {
		p.waiting = append(p.waiting, untold{p.toNobody(about), noSigners})
		return
	}
	switch about.GetKind() {
	case notifyv1.Kind_KIND_INVITATION:
		p.invite(about)
	case notifyv1.Kind_KIND_PROGRESS:
		p.progress(about)
	case notifyv1.Kind_KIND_COMPLETED:
		for _, who := range p.signers.people {
			p.tell(about, who)
		}
	case notifyv1.Kind_KIND_DECLINED:
		about.ActorName = actorName(p.signers.people, p.signers.actor, p.happened)
		p.end(about)
	case notifyv1.Kind_KIND_VOIDED, notifyv1.Kind_KIND_EXPIRED:
		p.end(about)
	case notifyv1.Kind_KIND_UNDELIVERABLE:
		p.undeliverable(about)
	default: // event.Kinds has no other; reminders are somebody else's
	}
}

// invite asks those to sign whose turn it is: all of them where the document begins, and on a signature only those whose
// turn has come by it, and those who had no link when the document began. Who signs in no order, or first, and was invited, is
// not invited again by a signature.
func (p *planner) invite(about *notifyv1.Notification) {
	for _, who := range p.signers.people {
		switch {
		case !who.Invite, who.Signed, who.Declined, !p.signers.turn(who):
		case p.signers.signature && p.signers.knew(who) && !p.gaveUp(about, who):
		default:
			p.tell(about, who)
		}
	}
}

// gaveUp reports whether this invitation was given up for lack of a link, and the link is there now. A provider may add a
// person's link when that person's turn comes, even if it does not report the signing order.
func (p *planner) gaveUp(about *notifyv1.Notification, who person) bool {
	if _, missing := p.link(notifyv1.Link_PURPOSE_SIGN, who.Recipient); missing != "" {
		return false
	}
	for _, r := range who.readers {
		if p.past.linkless[p.message(about, who.key, r).GetId()] {
			return true
		}
	}
	return p.past.linkless[p.toNobody(about).GetId()]
}

// toNobody is a message that stands for those to all signers, where none is listed.
func (p *planner) toNobody(about *notifyv1.Notification) *notifyv1.Notification {
	return p.message(about, "signers/", reader{person: &notifyv1.Person{}})
}

// progress tells the other signers how many signatures are missing: those who knew of the document before. Whose turn has
// just come gets the invitation, and people further behind nothing yet. With the last signature document.completed tells
// it, and with a single signer there is no other signature.
func (p *planner) progress(about *notifyv1.Notification) {
	about.SignaturesMissing = uint32(p.signers.missing())
	if about.GetSignaturesMissing() == 0 {
		return
	}
	about.ActorName = actorName(p.signers.people, p.signers.actor, p.happened)
	for i, who := range p.signers.people {
		if i != p.signers.actor && p.signers.knew(who) {
			p.tell(about, who)
		}
	}
}

// end tells that the document is not to be signed any more: those who knew of it, but for who declined it, and the
// sender.
func (p *planner) end(about *notifyv1.Notification) {
	for _, who := range p.signers.people {
		if !who.Declined && p.signers.knew(who) {
			p.tell(about, who)
		}
	}
	p.tellSender(about)
}

// undeliverable tells the sender whom his document did not reach. Such callbacks may come an hour late; who has signed
// by then was reached.
func (p *planner) undeliverable(about *notifyv1.Notification) {
	if who := p.signers.actor; who >= 0 && p.signers.people[who].Signed {
		return
	}
	about.ActorName = actorName(p.signers.people, p.signers.actor, p.happened)
	p.tellSender(about)
}
