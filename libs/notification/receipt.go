package notification

import (
	"time"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Delivered is the event that a delivery receipt told the stage that all of n arrived.
func Delivered(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	e := progress(n, event.NotificationDelivered, event.DerivedID(n.GetId(), stage, "delivered"), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	return e
}

// Undelivered is the event that n, or a part of it, did not arrive: a delivery receipt told the stage so, or the outside
// provider took only some of its parts. It is a
// notification.failed as Failed is, with an id of its own and the outside provider's reference: n was handed over. The
// receipt's reason is bounded and never personal, its reference never empty.
func Undelivered(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	e := progress(n, event.NotificationFailed, event.DerivedID(n.GetId(), stage, "undelivered"), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	e.Notice.Reason, e.Notice.Fault = r.Reason, string(r.Fault)
	e.Attributes = r.attributes()
	return e
}

// handedOver tells whether e says that its notification had been handed over to the outside provider. A
// notification.failed says so only where it bears the provider's reference: else the stage gave the notification up.
func handedOver(e *signingv1.SigningEvent) bool {
	switch e.GetType() {
	case event.NotificationSent, event.NotificationDelivered:
		return true
	case event.NotificationFailed:
		return e.GetNotice().GetReference() != ""
	default:
		return false
	}
}
