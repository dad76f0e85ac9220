package notification_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// NOTIFY keeps a message for 14 days. A message that is still held 6 hours before that becomes a dead letter, which is kept for 30 days
// more, and the log has the party at fault. The test moves the sender's clock, but not the broker's.
func TestAHeldMessageExpires(t *testing.T) {
	t.Parallel()
	const heldFor = 13*24*time.Hour + 18*time.Hour
	for name, row := range map[string]struct {
		refusal error
		held    bool // notification.deferred is published
		fault   string
	}{
		"every message is refused":                  {outcome.NeedsOperator(outcome.Account, "refused", nil), true, "operator"},
		"messages with the same reason are refused": {outcome.NeedsOperator(outcome.Reason, "refused", nil), true, "operator"},
		"the vendor is down":                        {outcome.Down(outcome.Failure(outcome.Provider, "refused", errors.New("no response"))), false, "provider"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var moved atomic.Int64
			b := servicetest.New(t, defaults())
			place := soon(flow.EmailSender)
			calls := make(chan struct{}, 1000)
			b.Start(func(ctx context.Context, env service.Env) error {
				return notification.Sender{
					Links:  links(),
					Vendor: "vendor",
					Now:    func() time.Time { return time.Now().Add(time.Duration(moved.Load())) },
					Send: func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
						calls <- struct{}{}
						return notification.Receipt{}, row.refusal
					},
				}.Deliver(ctx, env, place)
			})
			n := example()
			b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			<-calls
			if row.held {
				b.Await(flow.Signing, deferredSubject, 1)
			}
			waits := func() {
				t.Helper()
				begin := delivered(t, b)
				for delivered(t, b) < begin+3 { // by then the first two attempts have ended
					select {
					case <-time.After(10 * time.Millisecond):
					case <-t.Context().Done():
						t.Fatal("the message is not redelivered")
					}
				}
			}
			moved.Store(int64(heldFor - time.Hour))
			waits()
			if n := b.Count(flow.DLQ, "dlq.v1.>") + b.Count(flow.Signing, failedSubject); n != 0 {
				t.Fatalf("it was given up an hour before its expiry")
			}
			moved.Store(int64(heldFor + time.Second))
			b.Await(flow.DLQ, "dlq.v1.email-sender", 1)
			e, err := event.Decode(b.Await(flow.Signing, failedSubject, 1)[0].Data())
			if err != nil || e.GetNotice().GetFault() != row.fault || e.GetNotice().GetReason() != "refused" {
				t.Errorf("event %v, %v", e, err)
			}
			b.Settled(flow.EmailSender)
			if held, err := notification.HeldMessages(t.Context(), b.Env.JS); err != nil || len(held) != 0 {
				t.Errorf("still listed as held: %v, %v", held, err)
			}
		})
	}
}

// delivered returns the number of messages that the broker delivered to the sender.
func delivered(t *testing.T, b *servicetest.Bench) uint64 {
	t.Helper()
	consumer, err := b.Env.JS.Consumer(t.Context(), flow.Notify, flow.EmailSender)
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo().Delivered.Consumer
}
