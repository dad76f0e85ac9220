package notification_test

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/realtest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Earlier finds the events in the log which show that a message was sent before. A message that its stage gave up was not sent. A message
// whose receipt reports that it did not arrive was sent.
func TestEarlier(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	log := event.Log{JS: js, Stream: flow.Signing}
	const stage = "sms-sender"
	at, receipt := time.Unix(1, 0), notification.Receipt{Reference: "ref", Parts: 1, Reason: "barred"}
	for name, test := range map[string]struct {
		logged func(id string) []*signingv1.SigningEvent
		want   string // a type; empty for nothing
	}{
		"nothing": {func(string) []*signingv1.SigningEvent { return nil }, ""},
		"given up": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Failed(named(id), stage, at, "number-barred", outcome.Recipient)}
		}, ""},
		"another message's": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Sent(named(id+"'s other"), stage, at, receipt)}
		}, ""},
		"sent": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Sent(named(id), stage, at, receipt)}
		}, "notification.sent"},
		"arrived": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Delivered(named(id), stage, at, receipt)}
		}, "notification.delivered"},
		"lost": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Undelivered(named(id), stage, at, receipt)}
		}, "notification.failed"},
		"arrived, then sent": {func(id string) []*signingv1.SigningEvent {
			return []*signingv1.SigningEvent{notification.Delivered(named(id), stage, at, receipt), notification.Sent(named(id), stage, at, receipt)}
		}, "notification.sent"},
	} {
		for _, e := range test.logged(name) {
			m, err := event.Message(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		e, err := notification.Earlier(t.Context(), log, named(name))
		if err != nil || e.GetType() != test.want || test.want != "" && e.GetNotice().GetReference() != "ref" {
			t.Errorf("%s: %v, %v; want %q", name, e, err, test.want)
		}
	}
}

func named(id string) *notifyv1.Notification {
	n := example()
	n.Id = id
	return n
}
