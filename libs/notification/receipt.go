package notification

import (
	"time"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Delivered returns the event that all of n arrived, according to its delivery receipts.
func Delivered(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	e := progress(n, event.NotificationDelivered, event.DerivedID(n.GetId(), stage, "delivered"), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	return e
}

// Undelivered returns the event that n, or a part of it, did not arrive: a delivery receipt reports so, or the vendor accepted only some of
// its parts. Its type is notification.failed, as for Failed. But it has its own id and the vendor's reference, because n was sent. The
// receipt's reason is bounded and never personal, and its reference is never empty.
func Undelivered(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	e := progress(n, event.NotificationFailed, event.DerivedID(n.GetId(), stage, "undelivered"), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	e.Notice.Reason, e.Notice.Fault = r.Reason, string(r.Fault)
	e.Attributes = r.attributes()
	return e
}

// wasSent reports whether e shows that its notification was sent. A notification.failed shows it only if it has the vendor's reference:
// otherwise the stage gave up the notification.
func wasSent(e *signingv1.SigningEvent) bool {
	switch e.GetType() {
	case event.NotificationSent, event.NotificationDelivered:
		return true
	case event.NotificationFailed:
		return e.GetNotice().GetReference() != ""
	default:
		return false
	}
}
