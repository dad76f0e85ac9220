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

// Certainties of an opening.
const (
	// clicked: the button of our page was pressed. Robots do not press it.
	clicked = "clicked"
	// viewed: a client that identifies itself as a browser fetched the link, and was redirected at once.
	viewed = "fetched"
)

// sendMessage returns the message that delivers n to its sender.
func sendMessage(ctx context.Context, n *notifyv1.Notification) (*nats.Msg, error) {
	return notification.Message(ctx, notification.SendSubject(n), event.DerivedID(n.GetId(), flow.Shortener, "send"), n)
}

// substituted returns the event that n has our own link, because the outside shortener returned none. The time is when NOTIFY stored n.
func substituted(ctx context.Context, n *notifyv1.Notification, at time.Time, shortener, reason string) (*nats.Msg, error) {
	e := about(at, n.GetSource(), n.GetProvider(), n.GetDocumentId(), n.GetTo().GetRecipientId())
	e.Type = event.LinkSubstituted
	e.Attributes = map[string]string{"shortener": shortener, "reason": reason}
	e.Notice = &signingv1.Notice{
		NotificationId: n.GetId(), EventId: n.GetEventId(),
		Kind: event.KindName(n.GetKind()), Channel: event.ChannelName(n.GetChannel()),
	}
	e.Id = event.DerivedID(n.GetId(), flow.Shortener, "substituted")
	return event.Message(ctx, e)
}

// opened returns the event that a link was opened, with its certainty. Each opening is an event, so occurrence is random.
func opened(ctx context.Context, v *visit, certainty, occurrence string) (*nats.Msg, error) {
	e := v.event(event.LinkOpened, "certainty", certainty)
	e.Id = event.OccurrenceID(e, occurrence)
	return event.Message(ctx, e)
}

// fetched returns the event that a kind of program fetched a link and was not redirected. There is one for each link, kind and day.
func fetched(ctx context.Context, v *visit, client, day string) (*nats.Msg, error) {
	e := v.event(event.LinkFetched, "client", client)
	e.Id = event.OccurrenceID(e, v.entry.code, client, day)
	return event.Message(ctx, e)
}

// event returns an event of the visited link, with the current time.
func (v *visit) event(typ, attribute, value string) *signingv1.SigningEvent {
	e := about(time.Now(), v.entry.Source, v.entry.Provider, v.entry.Document, v.entry.Recipient)
	e.Type = typ
	e.Attributes = map[string]string{"purpose": v.entry.Purpose, attribute: value}
	e.Notice = &signingv1.Notice{Kind: v.entry.Kind, Channel: v.channel}
	return e
}

// about returns an event of our own about a person on a document.
func about(at time.Time, source, provider, document, recipient string) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: source, Provider: provider,
		OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
	}
	if document != "" {
		e.Document = &signingv1.Document{Id: document}
	}
	if recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: recipient}
	}
	return e
}
