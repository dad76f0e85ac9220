package shortener

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The types of the events that tell of links.
const (
	openedType      = "link.opened"
	substitutedType = "link.substituted"
)

// sendMessage is n on its way to its sender.
func sendMessage(ctx context.Context, n *notifyv1.Notification) (*nats.Msg, error) {
	return notification.Message(ctx, notification.SendSubject(n), event.DerivedID(n.GetId(), flow.Shortener, "send"), n)
}

// substituted is the event that n carries our own link, because the outside shortener gave none.
func substituted(ctx context.Context, n *notifyv1.Notification, shortener, reason string) (*nats.Msg, error) {
	e := about(n.GetSource(), n.GetProvider(), n.GetDocumentId(), n.GetTo().GetRecipientId())
	e.Type = substitutedType
	e.Attributes = map[string]string{"shortener": shortener, "reason": reason}
	e.Notice = &signingv1.Notice{
		NotificationId: n.GetId(), EventId: n.GetEventId(),
		Kind: notification.KindName(n.GetKind()), Channel: notification.ChannelName(n.GetChannel()),
	}
	e.Id = event.DerivedID(n.GetId(), flow.Shortener, "substituted")
	return event.Message(ctx, e)
}

// opened is the event that somebody opened a link. Each opening is one of its own, so occurrence is random.
func opened(ctx context.Context, l link, occurrence string) (*nats.Msg, error) {
	e := about(l.Source, l.Provider, l.Document, l.Recipient)
	e.Type = openedType
	e.Attributes = map[string]string{"purpose": l.Purpose}
	e.Notice = &signingv1.Notice{Kind: l.Kind}
	e.Id = event.OccurrenceID(e, occurrence)
	return event.Message(ctx, e)
}

// about is an event of ours that happened now to a person on a document.
func about(source, provider, document, recipient string) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: source, Provider: provider,
		OccurredAt: timestamppb.New(time.Now()), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
	}
	if document != "" {
		e.Document = &signingv1.Document{Id: document}
	}
	if recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: recipient}
	}
	return e
}
