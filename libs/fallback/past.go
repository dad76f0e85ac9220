package fallback

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The values of the attribute "reason" of notification.fallback.
const (
	NoReceipt     = "no-receipt"    // no delivery receipt came in time
	Failed        = "failed"        // sending failed permanently, a receipt says so, or the person opted out
	Undeliverable = "undeliverable" // the provider could not reach the person
)

// Reasons are all values of the attribute "reason".
var Reasons = []string{NoReceipt, Failed, Undeliverable}

// typesOfPast are the types that the past consists of. Each is read by its exact subject.
var typesOfPast = []string{
	event.NotificationRequested, event.NotificationSuppressed, event.NotificationDeferred, event.NotificationSent,
	event.NotificationDelivered, event.NotificationFailed, event.NotificationFallback, event.RecipientUndeliverable,
}

// past is what the log says about the messages to one person of a document.
type past struct {
	who       event.Signer
	notices   map[string]*notice                 // by the notification's id
	fallbacks map[string]*signingv1.SigningEvent // notification.fallback, by id
	bounced   *signingv1.SigningEvent            // the provider's latest report that it could not reach the person
}

// notice is what the log says about one notification.
type notice struct {
	status  Status
	decided int    // by which events, see the constants below
	reason  string // of a lost message
	why     string // its notice.reason
	kind    string
	made    time.Time // when the log stored its first event
	sent    time.Time // set while a receipt is expected
	planned bool      // notification.requested is in the log
}

// The events that decide a notice's status. Those of a higher number replace those of a lower one; of events with one number, the later one counts.
const (
	byPlan    = iota // requested, suppressed, deferred
	bySender         // sent, or given up: an operator may replay a message that was given up
	byReceipt        // a receipt is final, and may arrive before notification.sent
)

func readPast(ctx context.Context, log event.Log, who event.Signer) (past, error) {
	p := past{who: who, notices: map[string]*notice{}, fallbacks: map[string]*signingv1.SigningEvent{}}
	var all []event.Stored
	for stored, err := range log.Document(ctx, who, typesOfPast) {
		if err != nil {
			return past{}, err
		}
		if event.SignerOf(stored.Event) == who {
			all = append(all, stored)
		}
	}
	slices.SortFunc(all, func(a, b event.Stored) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, s := range all {
		p.add(s.Event, s.Time)
	}
	return p, nil
}

// add adds an event of the person, in the log's order.
func (p *past) add(e *signingv1.SigningEvent, stored time.Time) {
	switch e.GetType() {
	case event.NotificationFallback:
		p.fallbacks[e.GetId()] = e
		return
	case event.RecipientUndeliverable:
		if e.GetVerification() != signingv1.Verification_VERIFICATION_NONE { // a forged event must not send messages
			p.bounced = e
		}
		return
	}
	id := e.GetNotice().GetNotificationId()
	n := p.notices[id]
	if n == nil {
		n = &notice{kind: e.GetNotice().GetKind(), made: stored}
		p.notices[id] = n
	}
	n.add(e)
}

func (n *notice) add(e *signingv1.SigningEvent) {
	set := func(by int, status Status) {
		if by >= n.decided {
			n.decided, n.status, n.reason, n.why, n.sent = by, status, Failed, e.GetNotice().GetReason(), time.Time{}
		}
	}
	n.planned = n.planned || e.GetType() == event.NotificationRequested
	switch e.GetType() {
	case event.NotificationRequested, event.NotificationDeferred:
		set(byPlan, Pending)
	case event.NotificationSuppressed:
		if e.GetNotice().GetReason() == event.OptedOut {
			set(byPlan, Lost)
		} else {
			set(byPlan, Withheld)
		}
	case event.NotificationSent:
		if notification.ExpectsReceipt(e) {
			if set(bySender, Pending); n.decided == bySender {
				n.sent = event.Time(e)
			}
		} else {
			set(bySender, Arrived)
		}
	case event.NotificationDelivered:
		set(byReceipt, Arrived)
	case event.NotificationFailed:
		switch {
		case e.GetNotice().GetReference() == "":
			set(bySender, Lost)
		case n.decided < byReceipt || n.status != Arrived: // a delivery is not revoked
			set(byReceipt, Lost)
		}
	}
}

// late makes a message without a receipt in time a lost one.
func (n *notice) late(now time.Time, source config.Source, overdue bool) {
	if n.sent.IsZero() || !overdue && now.Before(Due(source, n.kind, n.sent)) {
		return
	}
	n.status, n.reason, n.why = Lost, NoReceipt, ""
}

// message is an invitation or a reminder to the person, on all channels.
type message struct {
	kind     notifyv1.Kind
	occasion string // the id of its document.sent, reminder.due, or notification.fallback
}

func (p *past) id(m message, c event.Channel) string {
	return notification.ID(m.occasion, m.kind, p.who.Recipient, c.Channel)
}

// of returns the message's notices, by the names of their channels.
func (p *past) of(m message) map[string]*notice {
	all := map[string]*notice{}
	for _, c := range event.Channels {
		if n := p.notices[p.id(m, c)]; n != nil {
			all[c.Name] = n
		}
	}
	return all
}
