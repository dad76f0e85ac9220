package notification_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The dedupe store has no claims of these notifications: the claims expired, or the notifications are new. If the event that caused a
// notification is older than the dedupe store, the log decides.
func TestASenderQueriesTheLogForExpiredClaims(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	at, receipt := time.Now().Add(-16*day), notification.Receipt{Reference: "ref", Parts: 1}
	sent := func(n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Sent(n, flow.EmailSender, at, receipt)
	}
	delivered := func(n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Delivered(n, flow.EmailSender, at, receipt)
	}
	undelivered := func(n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Undelivered(n, flow.EmailSender, at, receipt)
	}
	givenUp := func(n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Failed(n, flow.EmailSender, at, "refused", outcome.Recipient)
	}
	requested := func(n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Requested(n, flow.Enricher, at)
	}
	const unset = -1
	rows := map[string]struct {
		age        time.Duration // of the event that caused it
		log        func(*notifyv1.Notification) *signingv1.SigningEvent
		sends      bool
		suppressed bool
	}{
		"new":                                 {0, nil, true, false},
		"within the dedupe store's retention": {14 * day, nil, true, false},
		"forgotten, never sent":               {16 * day, requested, true, false},
		"forgotten, sent":                     {16 * day, sent, false, false},
		"forgotten, delivered":                {16 * day, delivered, false, false},
		"forgotten, undelivered":              {16 * day, undelivered, false, false},
		"forgotten, given up":                 {16 * day, givenUp, false, false},
		"a little less than the dedupe store's retention": {15*day - time.Minute, sent, false, false}, // clocks differ
		"of unknown age, never sent":                      {unset, nil, true, false},
		"of unknown age, sent":                            {unset, sent, false, false},
		"of unknown age, given up":                        {unset, givenUp, false, false},
		"as old as the log, sent":                         {88 * day, sent, false, false},
		"as old as the log, never sent":                   {88 * day, nil, true, false},
		"older than the log":                              {91 * day, nil, false, true},
		"older than the log, but sent":                    {91 * day, sent, false, false},
	}

	b := servicetest.New(t, defaults())
	var mu sync.Mutex
	sends := map[string]int{}
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, soon(flow.EmailSender), links(), func(_ context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			sends[n.GetId()]++
			return receipt, nil
		})
	})
	publish := func(n *notifyv1.Notification) {
		b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	}
	publish(named("first")) // before the log holds any message, so it has no gap
	b.Settled(flow.EmailSender)
	for name, row := range rows {
		n := named(idOf(name))
		if row.age != unset {
			n.RecordedAt = timestamppb.New(time.Now().Add(-row.age))
		}
		if row.log != nil {
			b.Publish(event.Message(t.Context(), row.log(n)))
		}
		publish(n)
	}
	b.Settled(flow.EmailSender)

	suppressed := map[string]string{}
	for m, err := range (event.Log{JS: b.Env.JS, Stream: flow.Signing}).Messages(t.Context(), "signing.v1.*.*.notification.suppressed.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		suppressed[e.GetNotice().GetNotificationId()] = e.GetNotice().GetReason()
	}
	for name, row := range rows {
		want, reason := 0, ""
		if row.sends {
			want = 1
		}
		if row.suppressed {
			reason = "older-than-the-log"
		}
		if sends[idOf(name)] != want || suppressed[idOf(name)] != reason {
			t.Errorf("%s: sent %d times, want %d; suppressed with %q, want %q", name, sends[idOf(name)], want, suppressed[idOf(name)], reason)
		}
	}
}

// idOf returns the notification's id for a row's name.
func idOf(name string) string { return event.DerivedID("forgotten", "test", name) }
