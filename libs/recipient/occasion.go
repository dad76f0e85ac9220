package recipient

import (
	"slices"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Sendings are the document.sent events of a document, by their time.
type Sendings []event.Sending

// Latest returns the id of the latest document.sent; empty for none.
func (s Sendings) Latest() string {
	if len(s) == 0 {
		return ""
	}
	return s[len(s)-1].ID
}

// resending returns the id of the sending in which an event happened, unless that is the document's first sending. So the ids of messages in
// a second sending differ from those in the first. For the first sending it returns nil. Then the ids do not depend on whether the log
// already has that sending.
func (s Sendings) resending(happened *signingv1.SigningEvent) []string {
	for i := len(s) - 1; i > 0; i-- {
		if !s[i].At.After(event.Time(happened)) {
			return []string{s[i].ID}
		}
	}
	return nil
}

// messageID returns a message's id, from its occasion, person and channel. If the provider lists the people in another order at a retry, each
// message keeps its id.
func messageID(about *notifyv1.Notification, occasion, person string, channel notifyv1.Channel) string {
	return notification.ID(occasion, about.GetKind(), person, channel)
}

// occasion returns the id of the event that a message is about. Another event may have triggered the message: two events that report the same
// fact make one message, which the senders send once.
//
// An invitation belongs to a sending. Several events may start a document. The last two signatures of a group, handled concurrently, may both
// find that the next group's turn has come. So an invitation is about its document.sent: the event itself, otherwise the latest one in the
// log, otherwise the id that the provider's event would have. A request that is sent again on purpose (Clickwrap) is another sending, and
// invites again.
//
// A provider reports a declined document with document.declined, with recipient.declined (Clickwrap, for each contract), or with both
// (PleaseSign). The decline belongs to the document. A decline, an expiry and a person's signature are each one occasion in one sending, for
// any number of callbacks.
func occasion(kind notifyv1.Kind, happened *signingv1.SigningEvent, sendings Sendings) string {
	about := event.KindOf(kind).Occasion
	switch {
	case happened.GetType() == event.ResendRequested, happened.GetType() == event.RecipientCorrected: // each makes its own message
		return happened.GetId()
	case happened.GetType() == event.NotificationFallback && kind != notifyv1.Kind_KIND_UNDELIVERABLE, about == "", about == happened.GetType() && kind == notifyv1.Kind_KIND_INVITATION:
		return happened.GetId()
	case kind == notifyv1.Kind_KIND_INVITATION && sendings.Latest() != "":
		return sendings.Latest()
	case kind == notifyv1.Kind_KIND_INVITATION:
		return transition(happened, about, nil)
	case event.Entity(about) != event.EntityRecipient:
		return transition(happened, about, nil, sendings.resending(happened)...)
	case happened.GetRecipient().GetId() == "":
		return happened.GetId()
	default:
		return transition(happened, about, happened.GetRecipient(), sendings.resending(happened)...)
	}
}

// Shared reports whether another event may already have put one of the messages into the log. Then the caller must read the log.
func (m Messages) Shared(happened *signingv1.SigningEvent) bool {
	mayExist := func(kind notifyv1.Kind) bool {
		about := event.KindOf(kind).Occasion
		return about != "" && happened.GetType() != event.ResendRequested && (kind != notifyv1.Kind_KIND_INVITATION || happened.GetType() != about)
	}
	return slices.ContainsFunc(m.Made, func(n *notifyv1.Notification) bool { return mayExist(n.GetKind()) }) ||
		slices.ContainsFunc(m.Suppressed, func(u Suppressed) bool { return mayExist(u.Message.GetKind()) })
}

// transition returns the id of the document's or the person's own event of that type, for a provider that cannot send a document again.
func transition(happened *signingv1.SigningEvent, eventType string, who *signingv1.Recipient, again ...string) string {
	return event.TransitionID(&signingv1.SigningEvent{
		Source: happened.GetSource(), Provider: happened.GetProvider(), Type: eventType,
		Document: &signingv1.Document{Id: happened.GetDocument().GetId()}, Recipient: who,
	}, again...)
}
