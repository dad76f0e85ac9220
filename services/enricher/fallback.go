package enricher

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// fallsBack reports whether an event says that the provider's own message did not reach a person, so that the messages of Signrelay decide what
// follows. Without authentication, or without the person's id, the event is handled like any other.
func fallsBack(src config.Source, happened *signingv1.SigningEvent) bool {
	return happened.GetType() == event.RecipientUndeliverable && src.Fallback.On() &&
		happened.GetRecipient().GetId() != "" && happened.GetVerification() != signingv1.Verification_VERIFICATION_NONE
}

// fallBack writes notification.fallback, unless a message of Signrelay has reached the person or is on its way. The messages follow from that
// event.
func (e *enricher) fallBack(ctx context.Context, src config.Source, happened *signingv1.SigningEvent, stored time.Time) ([]stage.Out, error) {
	follows, err := fallback.Look{Log: e.log, Now: e.now, Source: src}.AtUndeliverable(ctx, happened, stored)
	if err != nil {
		return nil, err
	}
	m, err := event.Message(ctx, follows)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	return []stage.Out{m}, nil
}

// fallBack plans the message of notification.fallback: the same kind of message on the other channel, or one to the sender if that is not
// possible. The person may have signed at the provider meanwhile, or may wait for another signer.
func (p *planner) fallBack() {
	kind := event.KindNamed(p.Happened.GetNotice().GetKind()).Kind
	id := p.Happened.GetRecipient().GetId()
	about := p.About(kind)
	channel := event.ChannelNamed(p.Happened.GetAttributes()[fallback.AttributeTo])
	p.PeopleOn(p.signers.people, channel)
	i := recipient.Only(p.signers.people, func(listed recipient.Person) bool { return listed.ID != "" && listed.ID == id })
	switch {
	case len(p.signers.people) == 0:
		p.AwaitSigners(about)
		return
	case i < 0:
		p.Withhold(about, id, recipient.NotListed)
		return
	}
	switch who := p.signers.people[i]; {
	case who.Signed:
		p.Withhold(about, id, event.OverSigned)
		return
	case who.Declined:
		p.Withhold(about, id, event.OverDeclined)
		return
	case !p.signers.turn(who):
		p.Withhold(about, id, recipient.NotTheirTurn)
		return
	case channel.Address != 0 && p.Source.Notify.WantsKind(event.KindName(kind)):
		p.Notify(about, who)
	}
	if len(p.Made)+len(p.Waiting) == 0 && p.Source.Notify.WantsKind(event.KindName(notifyv1.Kind_KIND_UNDELIVERABLE)) {
		p.undeliverable(p.About(notifyv1.Kind_KIND_UNDELIVERABLE))
	}
}

// countFallback counts a notification.fallback by the message that follows from it.
func (m metrics) countFallback(happened *signingv1.SigningEvent, made recipient.Messages) {
	if happened.GetType() != event.NotificationFallback {
		return
	}
	to := "none"
	for _, n := range made.Made {
		if to = event.ChannelName(n.GetChannel()); n.GetTo().GetSender() {
			to = fallback.ToSender
		}
	}
	m.fallbacks.WithLabelValues(happened.GetSource(), happened.GetProvider(), happened.GetAttributes()[fallback.AttributeReason], to).Inc()
}
