package notification_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// limited is a sender of texts with limits, with a vendor that accepts all messages.
type limited struct {
	*servicetest.Bench
	t *testing.T
}

func newLimited(t *testing.T, l config.Limits, destination func(*notifyv1.Notification) error) limited {
	t.Helper()
	c := defaults()
	c.Limits = l
	b := servicetest.New(t, c)
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links(), Vendor: "vendor", Destination: destination, Send: func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
			return notification.Receipt{Reference: "ref"}, nil
		}}.Deliver(ctx, env, soon(flow.SMSSender))
	})
	return limited{b, t}
}

func (l limited) text(id, document, number string) {
	l.t.Helper()
	n := example()
	n.Id, n.DocumentId, n.Channel, n.To = id, document, notifyv1.Channel_CHANNEL_SMS, &notifyv1.Person{RecipientId: "p", Mobile: number}
	l.Publish(notification.Message(l.t.Context(), notification.SendSubject(n), n.GetId(), n))
}

// held waits until messages are held, and returns their reasons by their ids.
func (l limited) held(want int) map[string]string {
	l.t.Helper()
	reasons := map[string]string{}
	for _, m := range l.Await(flow.Signing, deferredSubject, want) {
		e, err := event.Decode(m.Data())
		if err != nil || e.GetNotice().GetFault() != "operator" {
			l.t.Errorf("event %v, %v", e, err)
		}
		reasons[e.GetNotice().GetNotificationId()] = e.GetNotice().GetReason()
	}
	return reasons
}

// Each limit holds the messages that are beyond it, and no others.
func TestAMessageBeyondALimitIsHeld(t *testing.T) {
	t.Parallel()
	for reason, limits := range map[string]config.Limits{
		"limit-number-per-hour": {NumberPerHour: 2},
		"limit-person-per-day":  {PersonPerDay: 2},
		"limit-document":        {Document: 2},
		"limit-source-per-day":  {SourcePerDay: 2},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			l := newLimited(t, limits, nil)
			for i := range 3 {
				id, document, number := fmt.Sprintf("n%d", i), fmt.Sprintf("doc%d", i), fmt.Sprintf("+1317555200%d", i)
				switch reason {
				case "limit-document":
					document = "doc"
				case "limit-source-per-day":
				default:
					number = "+13175552000"
				}
				l.text(id, document, number)
				if i < 2 {
					l.Await(flow.Signing, sentSubject, i+1)
				}
			}
			if held := l.held(1); held["n2"] != reason {
				t.Errorf("held %v", held)
			}
			if reason != "limit-source-per-day" {
				l.text("other", "other", "+13175552999")
				l.Await(flow.Signing, sentSubject, 3)
			}
		})
	}
}

// A released message is sent, although it is still beyond the limit. The others stay held. The list contains no personal data.
func TestAMessageBeyondALimitIsReleasedIndividually(t *testing.T) {
	t.Parallel()
	l := newLimited(t, config.Limits{NumberPerHour: 1}, nil)
	l.text("n0", "doc", "+13175552000")
	l.Await(flow.Signing, sentSubject, 1)
	l.text("n1", "doc", "+13175552000")
	l.text("n2", "doc", "+13175552000")
	l.held(2)
	var held []notification.Held
	for len(held) < 2 { // each is published first, then recorded
		var err error
		if held, err = notification.HeldMessages(t.Context(), l.Env.JS); err != nil {
			t.Fatal(err)
		}
	}
	if err := notification.Release(t.Context(), l.Env.JS, "sms"); err != nil { // Release is for messages that wait for the vendor
		t.Fatal(err)
	}
	first := held[slices.IndexFunc(held, func(h notification.Held) bool { return h.ID == "n1" })]
	if !first.Limit || first.Reason != "limit-number-per-hour" || first.Document != "doc" {
		t.Errorf("held %+v", first)
	}
	if err := notification.ReleaseLimited(t.Context(), l.Env.JS, first); err != nil {
		t.Fatal(err)
	}
	m := l.Await(flow.Signing, sentSubject, 2)[1]
	if e, err := event.Decode(m.Data()); err != nil || e.GetNotice().GetNotificationId() != "n1" || e.GetNotice().GetPossibleDuplicate() {
		t.Errorf("event %v, %v", e, err)
	}
	for len(held) != 1 {
		var err error
		if held, err = notification.HeldMessages(t.Context(), l.Env.JS); err != nil {
			t.Fatal(err)
		}
	}
	if held[0].ID != "n2" {
		t.Errorf("held %+v", held)
	}
}

// A destination that is not allowed is held with its country.
func TestTheCountryOfAHeldTextIsPublished(t *testing.T) {
	t.Parallel()
	l := newLimited(t, config.Limits{}, func(*notifyv1.Notification) error { return notification.NotAllowed("country-not-allowed", "JM") })
	l.text("n1", "doc", "+18765551234")
	m := l.Await(flow.Signing, deferredSubject, 1)[0]
	e, err := event.Decode(m.Data())
	if err != nil || e.GetAttributes()["country"] != "JM" || e.GetNotice().GetReason() != "country-not-allowed" {
		t.Errorf("event %v, %v", e, err)
	}
	l.NeverLogged("8765551234")
}
