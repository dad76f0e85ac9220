package document

import (
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Outcome is what the log says about a message.
type Outcome string

// The outcomes of a message.
const (
	Requested  Outcome = "requested"  // it was made, and is on its way
	Suppressed Outcome = "suppressed" // it was not made, or not sent, for the reason
	Held       Outcome = "held"       // it waits until the party at fault has fixed something
	Deferred   Outcome = "deferred"   // it waits until a time
	Sent       Outcome = "sent"       // it was handed over to the SMS vendor or the mail server
	Delivered  Outcome = "delivered"  // a receipt says that it arrived
	Failed     Outcome = "failed"     // it was given up, or did not arrive
)

// Message is one message to one person on one channel.
type Message struct {
	ID      string  `json:"id,omitempty"` // of the notification
	Kind    string  `json:"ki,omitempty"` // "invitation", "reminder", …
	Channel string  `json:"ch,omitempty"` // "sms" or "email"; empty if the reason concerns no channel
	Outcome Outcome `json:"ou,omitempty"`
	Reason  string  `json:"re,omitempty"` // bounded, never personal
	Fault   string  `json:"fa,omitempty"` // "recipient", "operator", "provider" or "ours"
	// Number is that of the reminder that caused it, from 1; 0 for other messages.
	Number int `json:"nu,omitempty"`

	At          time.Time `json:"at,omitzero"` // of its first event
	SentAt      time.Time `json:"sa,omitzero"` // first handed over
	DeliveredAt time.Time `json:"da,omitzero"`
	EndedAt     time.Time `json:"ea,omitzero"` // of the event that decided the outcome
	Until       time.Time `json:"un,omitzero"` // it waits until then, if it is deferred

	Parts      uint32 `json:"pt,omitempty"` // of a text, of all attempts that were handed over
	Duplicate  bool   `json:"du,omitempty"` // the person may have got it twice
	Expects    bool   `json:"ex,omitempty"` // a delivery receipt should follow
	LinkLost   bool   `json:"ll,omitempty"` // a part of its link was refused
	OwnLink    bool   `json:"ol,omitempty"` // the outside shortener returned no link
	Fallback   string `json:"fb,omitempty"` // where it went instead: "sms", "email" or "sender"
	FallbackID string `json:"fi,omitempty"` // of notification.fallback, the cause of the message that follows
	Of         string `json:"of,omitempty"` // the channel of the lost message that this one replaces

	By int `json:"by,omitempty"` // by which events the outcome was decided, see the constants
}

// The events that decide a message's outcome, as in libs/fallback. Those of a higher number replace those of a lower one; of events with one number,
// the later one in the log counts.
const (
	byPlan    = iota // requested, suppressed, deferred
	bySender         // sent, or given up: an operator may replay a message that was given up
	byReceipt        // a receipt is final, and may arrive before notification.sent
)

// The attributes of events that the fold reads.
const (
	attributeChannel  = "channel"
	attributeNumber   = "number"
	attributeDue      = "due"
	attributeReason   = "reason"
	attributeTo       = "to"
	attributePurpose  = "purpose"
	attributeLinkLost = "link_refused"
)

var (
	smsName   = event.ChannelName(event.SMS)
	emailName = event.ChannelName(event.Email)
	// asking are the kinds of messages that ask their person to sign.
	asking = func() map[string]bool {
		all := map[string]bool{}
		for _, k := range event.Kinds {
			if k.Asks {
				all[event.KindName(k.Kind)] = true
			}
		}
		return all
	}()
)

func (m *Message) asks() bool { return asking[m.Kind] }

// arrived reports whether the message was handed over and not lost since.
func (m *Message) arrived() bool { return m.Outcome == Sent || m.Outcome == Delivered }

// mostOthers is the number of messages of one kind to one person that are kept, besides invitations and reminders: a document with 300 signers
// makes 300 progress messages to each of them. The oldest settled one goes first.
const mostOthers = 4

// message returns the message of an event in a list, and adds it if the list does not have it.
func message(all *[]Message, e *signingv1.SigningEvent) *Message {
	n := e.GetNotice()
	for i := len(*all) - 1; i >= 0; i-- {
		if (*all)[i].ID == n.GetNotificationId() {
			return &(*all)[i]
		}
	}
	if !asking[n.GetKind()] {
		oldest, kept := -1, 0
		for i, m := range *all {
			if m.Kind == n.GetKind() && m.Channel == n.GetChannel() {
				if kept++; oldest < 0 || (*all)[oldest].Outcome == Requested && m.Outcome != Requested {
					oldest = i
				}
			}
		}
		if kept >= mostOthers {
			*all = slices.Delete(*all, oldest, oldest+1)
		}
	}
	*all = append(*all, Message{ID: n.GetNotificationId(), Kind: n.GetKind(), Channel: n.GetChannel(), At: event.Time(e)})
	return &(*all)[len(*all)-1]
}

// add folds one event about the message. It returns the number of parts of a text that the event adds.
func (m *Message) add(e *signingv1.SigningEvent) (parts uint32) {
	n, at := e.GetNotice(), event.Time(e)
	m.At = earliest(m.At, at)
	decide := func(by int, is Outcome) {
		if by < m.By {
			return
		}
		m.By, m.Outcome, m.Reason, m.Fault, m.EndedAt, m.Until = by, is, n.GetReason(), n.GetFault(), at, time.Time{}
	}
	m.Duplicate = m.Duplicate || n.GetPossibleDuplicate()
	switch e.GetType() {
	case event.NotificationRequested:
		if m.Outcome == "" || m.Outcome == Suppressed { // the other events may come first; what was suppressed for a missing link is made later
			decide(byPlan, Requested)
		}
	case event.NotificationSuppressed:
		decide(byPlan, Suppressed)
	case event.NotificationDeferred:
		until, err := time.Parse(time.RFC3339, e.GetAttributes()[notification.AttributeUntil])
		if err != nil {
			decide(byPlan, Held)
			break
		}
		if decide(byPlan, Deferred); m.Outcome == Deferred {
			m.Until = until.UTC()
		}
	case event.NotificationSent:
		m.SentAt = earliest(m.SentAt, at)
		m.Expects = m.Expects || notification.ExpectsReceipt(e)
		if decide(bySender, Sent); n.GetChannel() == smsName {
			parts = max(n.GetParts(), 1)
			m.Parts += parts
		}
	case event.NotificationDelivered:
		m.DeliveredAt = earliest(m.DeliveredAt, at)
		m.SentAt = earliest(m.SentAt, at) // a receipt may arrive before notification.sent
		decide(byReceipt, Delivered)
	case event.NotificationFailed:
		m.LinkLost = m.LinkLost || e.GetAttributes()[attributeLinkLost] == "true"
		switch {
		case n.GetReference() == "":
			decide(bySender, Failed)
		case m.By < byReceipt || m.Outcome != Delivered: // a delivery is not revoked
			decide(byReceipt, Failed)
		}
	case event.LinkSubstituted:
		m.OwnLink = true
	}
	return parts
}
