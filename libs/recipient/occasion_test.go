package recipient

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// once returns an event with the id that a pack creates for it, at this second.
func once(eventType, recipient string, at int64, again ...string) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: "acme", Provider: "clickwrap", Type: eventType, Document: &signingv1.Document{Id: "doc"}, OccurredAt: &timestamppb.Timestamp{Seconds: at},
	}
	if recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: recipient}
	}
	e.Id = event.TransitionID(e, again...)
	return e
}

// A message's id in a first sending must not change. With a new id, every recipient would get the message again.
func TestIDsThatMustNotChange(t *testing.T) {
	t.Parallel()
	sent := once(event.DocumentSent, "", 1, "activity-1")
	for kind, e := range map[notifyv1.Kind]*signingv1.SigningEvent{
		notifyv1.Kind_KIND_PROGRESS: once(event.RecipientSigned, "bob", 5, "activity-3"),
		notifyv1.Kind_KIND_DECLINED: once(event.RecipientDeclined, "bob", 5, "activity-3"),
		notifyv1.Kind_KIND_EXPIRED:  once(event.DocumentExpired, "", 5, "activity-3"),
	} {
		was := once(e.GetType(), e.GetRecipient().GetId(), 5).GetId()
		if kind == notifyv1.Kind_KIND_DECLINED {
			was = once(event.DocumentDeclined, "", 5).GetId()
		}
		if got := occasion(kind, e, Sendings{{ID: sent.GetId(), At: event.Time(sent)}}); got != was {
			t.Errorf("%v: %s, was %s", kind, got, was)
		}
	}
	nobody := once(event.RecipientSigned, "", 5)
	if got := occasion(notifyv1.Kind_KIND_PROGRESS, nobody, nil); got != nobody.GetId() {
		t.Errorf("a signature without a person: %s", got)
	}
}
