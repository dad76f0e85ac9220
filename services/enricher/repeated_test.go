package enricher

import (
	"slices"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The log has an event twice, because ingest did not recognize the second copy. Only the first copy causes messages.
func TestACopyOfAnEventCausesNoMessages(t *testing.T) {
	t.Parallel()
	for _, eventType := range event.TypesWithMessages() {
		t.Run(eventType, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, config.Config{})
			declines := with(bob, declined)
			api := &provider{document: pack.Document{
				Status: pack.StatusOpen, Recipients: []pack.Recipient{ann, declines}, Sender: pack.Sender{Name: "Acme", Email: "sender@acme.example"},
			}}
			e := beside(t, b, sources(api))
			who := ""
			if eventType == event.RecipientSigned || eventType == event.RecipientDeclined {
				who = "bob"
			}
			happened := about(eventType, "doc", who, hmac)
			publish(t, b, happened)
			first := b.Await(flow.Signing, event.Subject(happened), 1)[0]
			meta, err := first.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			for name, row := range map[string]struct {
				stored time.Time
				causes bool
			}{
				"the first":               {meta.Timestamp, true},
				"the second":              {meta.Timestamp.Add(time.Nanosecond), false},
				"the second, weeks later": {meta.Timestamp.Add(16 * 24 * time.Hour), false},
			} {
				outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{ID: happened.GetId(), Attempt: 1, Stored: row.stored, Data: happened})
				if (len(outs) > 0) != row.causes {
					t.Errorf("%s: %q, %v", name, follows(t, outs), err)
				}
			}
		})
	}
}

// Two events, weeks apart, cause one message. The second copy of the message has no time, so that its sender reads the log. The log has one
// notification.requested for it.
func TestTwoEventsThatCauseOneMessage(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	api := &provider{document: pack.Document{Status: pack.StatusOpen, Recipients: []pack.Recipient{ann, bob}}}
	e := beside(t, b, sources(api))
	for i, row := range []struct{ id, want string }{{"first", "with a time, and its event"}, {"second", "without a time"}} {
		signed := about(event.RecipientSigned, "doc", "ann", hmac)
		signed.Id = row.id // of another callback about the same signature
		outs, err := e.enrich(t.Context(), stage.Event[*signingv1.SigningEvent]{ID: row.id, Attempt: 1, Stored: time.Now(), Data: signed})
		if err != nil || len(outs) == 0 {
			t.Fatal(outs, err)
		}
		n, err := notification.Decode(outs[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		if first := i == 0; (n.GetRecordedAt() != nil) != first || (len(outs) == 2) != first {
			t.Errorf("the %s: %v, and %d outputs; want it %s", row.id, n.GetRecordedAt(), len(outs), row.want)
		}
		if i == 0 {
			b.Publish(outs[1], nil) // its event
		}
	}
}

// An event that may be a copy of a deleted event causes no messages, and the log has the reason for each message.
func TestNoMessagesAboutEventsOlderThanTheLog(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	e := beside(t, b, sources(&provider{document: pack.Document{Status: pack.StatusCompleted, Recipients: []pack.Recipient{ann, bob}}}))
	old := about(event.DocumentCompleted, "doc", "", hmac)
	old.Attributes = map[string]string{pack.OlderThanLog: "true"}
	got, err := attemptAt(t, b, e, 1, old)
	if want := []string{"suppressed ann: older-than-the-log", "suppressed bob: older-than-the-log"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
