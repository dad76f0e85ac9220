package notification

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The types of the events that tell what became of a notification.
const (
	SentType      = "notification.sent"
	DeliveredType = "notification.delivered"
	FailedType    = "notification.failed"
)

// Receipt is what the outside provider said when it took a message.
type Receipt struct {
	Reference         string // the provider's own name of it
	Parts             uint32 // how many parts it went in
	PossibleDuplicate bool   // an earlier attempt may have arrived too
	Reason            string // what was not quite right about it; empty as a rule, never personal
}

// Sent is the event that n was handed over by that stage.
func Sent(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	e := outcome(n, SentType, event.DerivedID(n.GetId(), stage, "sent"), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	e.Notice.PossibleDuplicate = r.PossibleDuplicate
	e.Notice.Reason = r.Reason
	return e
}

// Failed is the event that the stage gave n up. The reason is bounded and never personal.
func Failed(n *notifyv1.Notification, stage string, at time.Time, reason string) *signingv1.SigningEvent {
	e := outcome(n, FailedType, event.DerivedID(n.GetId(), stage, "failed"), at)
	e.Notice.Reason = reason
	return e
}

func outcome(n *notifyv1.Notification, eventType, id string, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Id: id, Source: n.GetSource(), Provider: n.GetProvider(), Type: eventType,
		OccurredAt:   timestamppb.New(at),
		Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Notice: &signingv1.Notice{
			NotificationId: n.GetId(), Kind: KindName(n.GetKind()), Channel: ChannelName(n.GetChannel()), EventId: n.GetEventId(),
		},
	}
	if n.GetDocumentId() != "" {
		e.Document = &signingv1.Document{Id: n.GetDocumentId()}
	}
	if n.GetTo().GetRecipientId() != "" {
		e.Recipient = &signingv1.Recipient{Id: n.GetTo().GetRecipientId()}
	}
	return e
}

// Earlier looks in the log for word that n was handed over before: its notification.sent, else its
// notification.delivered, else nil. Only the one document's notices are read, oldest first.
func Earlier(ctx context.Context, log event.Log, n *notifyv1.Notification) (*signingv1.SigningEvent, error) {
	var delivered *signingv1.SigningEvent
	for m, err := range log.Messages(ctx, "signing.v1."+n.GetSource()+"."+n.GetProvider()+".notification.*."+event.DocumentToken(n.GetDocumentId()), time.Time{}) {
		if err != nil {
			return nil, fmt.Errorf("look for an earlier handing over: %w", err)
		}
		e, err := event.Decode(m.Data)
		if err != nil || e.GetNotice().GetNotificationId() != n.GetId() {
			continue // somebody else's; what cannot be read is no word of ours
		}
		switch e.GetType() {
		case SentType:
			return e, nil
		case DeliveredType:
			delivered = e
		}
	}
	return delivered, nil
}
