package notification_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A person who has signed since the message was made is not asked to sign any more. A message of another kind is sent.
func TestAPersonWhoHasSignedIsNotAskedToSign(t *testing.T) {
	t.Parallel()
	const invitation, reminder, progress = notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_REMINDER, notifyv1.Kind_KIND_PROGRESS
	for name, row := range map[string]struct {
		kind   notifyv1.Kind
		waited time.Duration
		past   string // an event of the document
		person string // who acted
		reason string
	}{
		"a reminder, and nothing happened":      {reminder, 0, "", "", ""},
		"a reminder, signed":                    {reminder, 0, event.RecipientSigned, "s1", event.OverSigned},
		"a reminder, another person has signed": {reminder, 0, event.RecipientSigned, "s2", ""},
		"a reminder, declined":                  {reminder, 0, event.RecipientDeclined, "s1", event.OverDeclined},
		"a reminder, completed":                 {reminder, 0, event.DocumentCompleted, "", event.OverDocument},
		"a reminder, expired":                   {reminder, 0, event.DocumentExpired, "", event.OverDocument},
		"an invitation that waited, signed":     {invitation, time.Hour, event.RecipientSigned, "s1", event.OverSigned},
		"an invitation that waited, voided":     {invitation, time.Hour, event.DocumentVoided, "", event.OverDocument},
		"an invitation that waited":             {invitation, time.Hour, "", "", ""},
		"progress that waited, signed":          {progress, time.Hour, event.RecipientSigned, "s1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBroken(t, func(string) error { return nil }, nil)
			n := example()
			n.Kind, n.DocumentId = row.kind, "doc"
			cause := event.KindOf(row.kind).After[0]
			n.EventSubject = event.SubjectOf(n.GetSource(), n.GetProvider(), cause, n.GetDocumentId())
			n.EventStoredAt = timestamppb.New(time.Now().Add(-row.waited))
			n.RecordedAt = n.GetEventStoredAt()
			if row.past != "" {
				e := &signingv1.SigningEvent{
					Id: "past", Source: n.GetSource(), Provider: n.GetProvider(), Type: row.past, OccurredAt: timestamppb.Now(),
					Document: &signingv1.Document{Id: n.GetDocumentId()}, Verification: signingv1.Verification_VERIFICATION_HMAC,
				}
				if row.person != "" {
					e.Recipient = &signingv1.Recipient{Id: row.person}
				}
				s.Publish(event.Message(t.Context(), e))
			}
			s.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			want := event.NotificationSent
			if row.reason != "" {
				want = event.NotificationSuppressed
			}
			e, err := event.Decode(s.Await(flow.Signing, event.TypeFilter(want), 1)[0].Data())
			if err != nil || e.GetNotice().GetReason() != row.reason || s.called(n.GetId()) != map[bool]int{true: 1, false: 0}[row.reason == ""] {
				t.Errorf("%v: %v after %d calls, want %s with the reason %q", err, e, s.called(n.GetId()), want, row.reason)
			}
		})
	}
}
