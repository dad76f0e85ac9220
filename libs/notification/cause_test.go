package notification

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A message's cause is found wherever it is among the events of its subject, and never in the event of another document or another id.
func TestTheCauseOfAMessageIsInTheLog(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	log := event.Log{JS: js, Stream: flow.Signing}
	stored := map[string]time.Time{}
	for i := range 3 { // a document that was sent three times
		e := &signingv1.SigningEvent{
			Id: fmt.Sprintf("sent-%d", i), Source: "demo", Provider: "clickwrap", Type: event.DocumentSent, Document: &signingv1.Document{Id: "d"},
			OccurredAt: timestamppb.Now(), ReceivedAt: timestamppb.Now(),
		}
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for last, err := range log.Last(t.Context(), m.Subject) {
			if err != nil {
				t.Fatal(err)
			}
			stored[e.GetId()] = last.Time
		}
	}
	for _, c := range []struct {
		cause, document string
		known           bool // the message has the time at which the log stored the cause
		want            bool
	}{
		{"sent-0", "d", true, true},
		{"sent-1", "d", true, true},
		{"sent-2", "d", true, true},
		{"sent-0", "d", false, true},
		{"sent-2", "d", false, true},
		{"sent-3", "d", true, false},
		{"sent-2", "other", true, false},
		{"", "d", true, false},
	} {
		n := &notifyv1.Notification{Source: "demo", Provider: "clickwrap", DocumentId: c.document, EventId: c.cause, Kind: notifyv1.Kind_KIND_INVITATION}
		if c.known {
			n.EventSubject = event.SubjectOf("demo", "clickwrap", event.DocumentSent, c.document)
			n.EventStoredAt = timestamppb.New(stored[c.cause])
		}
		if found, err := (&causes{log: log}).has(t.Context(), n); err != nil || found != c.want {
			t.Errorf("%+v: %v, %v", c, found, err)
		}
	}
}
