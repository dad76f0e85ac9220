package fallback

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The attributes of notification.fallback.
const (
	AttributeReason = "reason" // one of Reasons
	AttributeFrom   = "from"   // the channel on which the message did not arrive
	AttributeTo     = "to"     // the other channel, or ToSender
)

// IDs is the author in the ids of the messages about fallbacks. It sets them apart from those about reminders: both may follow from one event.
const IDs = "fallback"

// settle is the maximum age of a message at which the log may not yet have the events of its other channel. The enricher publishes the events
// of all channels at once; if it dies in between, another replica publishes the rest after flow.AckWait, 4 s.
const settle = 10 * time.Second

// Look decides from the log whether a message goes to another channel.
type Look struct {
	Log    event.Log
	Now    func() time.Time
	Source config.Source
}

// Due returns the time until which a message of a kind that was sent then may wait for its receipt. For the kinds that wait for the end of quiet
// hours, only the minutes outside quiet hours count. They are those of the source's zone: the log has no person's number.
func Due(source config.Source, kind string, sent time.Time) time.Time {
	if !source.QuietHours.Applies(kind) {
		return sent.Add(source.Fallback.After)
	}
	return source.QuietHours.Rule("").After(sent, source.Fallback.After)
}

// AtMessage returns the notification.fallback that follows from an event about a notification, which the log stored at that time, or the outcome
// that none does. overdue means that the notification's receipt did not come in time.
func (l Look) AtMessage(ctx context.Context, e *signingv1.SigningEvent, stored time.Time, overdue bool) (*signingv1.SigningEvent, error) {
	is, p, err := l.read(ctx, event.SignerOf(e))
	if err != nil {
		return nil, err
	}
	n := e.GetNotice()
	kind := event.KindNamed(n.GetKind()).Kind
	if overdue {
		if late := p.notices[n.GetNotificationId()]; late != nil {
			late.late(l.Now(), l.Source, true)
		}
	}
	if made := p.fallbacks[n.GetEventId()]; made != nil {
		if is.Sent.After(event.Time(made)) {
			return nil, outcome.Skip(sentAgain)
		}
		return l.after(p, message{kind, made.GetId()}, stored)
	}
	m := message{kind, is.Sending}
	if !p.about(m, n.GetNotificationId()) {
		m.occasion = n.GetEventId()
		made := stored
		if is := p.notices[n.GetNotificationId()]; is != nil {
			made = is.made
		}
		if !p.about(m, n.GetNotificationId()) || is.Sent.After(made) {
			return nil, outcome.Skip(sentAgain)
		}
	}
	return l.first(p, m, n.GetEventId(), stored)
}

// AtUndeliverable returns the notification.fallback that follows from recipient.undeliverable, which the log stored at that time, or the outcome
// that none does. The provider's own message to the person counts as an e-mail.
func (l Look) AtUndeliverable(ctx context.Context, e *signingv1.SigningEvent, stored time.Time) (*signingv1.SigningEvent, error) {
	is, p, err := l.read(ctx, event.SignerOf(e))
	if err != nil {
		return nil, err
	}
	p.bounced = e
	m := message{notifyv1.Kind_KIND_INVITATION, is.Sending}
	if made := p.fallbacks[m.fallback(p.who)]; made != nil {
		return l.after(p, message{m.kind, made.GetId()}, stored)
	}
	return l.first(p, m, e.GetId(), stored)
}

func (l Look) read(ctx context.Context, who event.Signer) (event.Standing, past, error) {
	is, err := l.Log.Standing(ctx, who)
	if err != nil {
		return event.Standing{}, past{}, err
	}
	if is.Over != "" {
		return event.Standing{}, past{}, outcome.Skip(is.Over)
	}
	p, err := readPast(ctx, l.Log, who)
	if err != nil {
		return event.Standing{}, past{}, err
	}
	if p.bounced != nil && event.Time(p.bounced).Before(is.Sent) {
		p.bounced = nil // of an earlier sending
	}
	for _, n := range p.notices {
		n.late(l.Now(), l.Source, false)
	}
	return is, p, nil
}

// first decides about a message. cause is the id of the event that caused it.
func (l Look) first(p past, m message, cause string, stored time.Time) (*signingv1.SigningEvent, error) {
	id := m.fallback(p.who)
	if p.fallbacks[id] != nil {
		return nil, outcome.Skip(fellBack)
	}
	notices := p.of(m)
	if n := notices[email]; p.bounced != nil && (n == nil || n.status == Withheld) {
		notices[email] = &notice{status: Lost, reason: Undeliverable, made: stored}
	}
	d := decide(statuses(notices))
	if d.skip != "" {
		return nil, outcome.Skip(d.skip)
	}
	if notices[d.to] == nil && d.to != ToSender {
		if wait := min(settle, l.Source.Fallback.After) - l.Now().Sub(notices[d.from].made); wait > 0 {
			return nil, outcome.Later(wait, "settling")
		}
	}
	return p.event(id, m, cause, d, notices[d.from], stored), nil
}

// after decides about the message of a fallback.
func (l Look) after(p past, m message, stored time.Time) (*signingv1.SigningEvent, error) {
	id := event.DerivedID(m.occasion, IDs, ToSender)
	if p.fallbacks[id] != nil {
		return nil, outcome.Skip(fellBack)
	}
	notices := p.of(m)
	for channel, n := range notices {
		if n.decided == byPlan && !n.planned { // the enricher suppressed it, and has notified the sender
			delete(notices, channel)
		}
	}
	d := decideAfter(statuses(notices))
	if d.skip != "" {
		return nil, outcome.Skip(d.skip)
	}
	return p.event(id, m, m.occasion, d, notices[d.from], stored), nil
}

// email is the channel of providers' own messages.
var email = event.ChannelName(event.Email)

func statuses(notices map[string]*notice) map[string]Status {
	all := map[string]Status{}
	for channel, n := range notices {
		all[channel] = n.status
	}
	return all
}

// about reports whether a notification is the message on one of its channels.
func (p *past) about(m message, notificationID string) bool {
	for _, c := range event.Channels {
		if p.id(m, c) == notificationID {
			return true
		}
	}
	return false
}

// fallback returns the id of the message's notification.fallback. It is a function of the sending or the reminder, and of the person. So
// there is one, regardless of the number of replicas, retries and receipts.
func (m message) fallback(who event.Signer) string {
	return event.DerivedID(m.occasion, IDs, event.KindName(m.kind)+"/"+who.Recipient)
}

// event returns the notification.fallback of a lost message.
func (p *past) event(id string, m message, cause string, d decision, lost *notice, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Id: id, Source: p.who.Source, Provider: p.who.Provider, Type: event.NotificationFallback,
		OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document: &signingv1.Document{Id: p.who.Document}, Recipient: &signingv1.Recipient{Id: p.who.Recipient},
		Notice:     &signingv1.Notice{Kind: event.KindName(m.kind), Channel: d.from, EventId: cause, Reason: lost.why},
		Attributes: map[string]string{AttributeReason: lost.reason, AttributeFrom: d.from, AttributeTo: d.to},
	}
	if lost.reason != Undeliverable {
		e.Notice.NotificationId = p.id(m, event.ChannelNamed(d.from))
	}
	return e
}
