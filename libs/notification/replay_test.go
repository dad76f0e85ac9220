package notification_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// replays is a sender whose first messages are refused permanently, with an operator who replays them.
type replays struct {
	*servicetest.Bench
	t       *testing.T
	sent    atomic.Int32
	refuses int32
}

func newReplays(t *testing.T, refuses int32) *replays {
	t.Helper()
	r := &replays{Bench: servicetest.New(t, defaults()), t: t, refuses: refuses}
	r.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, soon(flow.EmailSender), links(), func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
			if r.sent.Add(1) <= r.refuses {
				return notification.Receipt{}, outcome.Refused(outcome.Recipient, "refused", errors.New("550"))
			}
			return notification.Receipt{Reference: "queued"}, nil
		})
	})
	n := example()
	r.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	return r
}

// replay replays the only dead letter.
func (r *replays) replay(count int) {
	r.t.Helper()
	r.Await(flow.DLQ, "dlq.v1.email-sender", count)
	requested := &nats.Msg{Subject: "signing.v1.acme.esign-v1.replay.requested._", Header: nats.Header{"Nats-Msg-Id": {r.t.Name()}}}
	dlq := stage.DeadLetters{JS: r.Env.JS}
	for dead, err := range dlq.All(r.t.Context()) {
		if err == nil {
			err = dlq.Replay(r.t.Context(), dead, requested)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

const sentSubject, failedSubject = "signing.v1.acme.esign-v1.notification.sent.>", "signing.v1.acme.esign-v1.notification.failed.>"

func TestAReplayedNotificationIsSent(t *testing.T) {
	t.Parallel()
	r := newReplays(t, 1)
	r.replay(1)
	e, err := event.Decode(r.Await(flow.Signing, sentSubject, 1)[0].Data())
	if err != nil || e.GetNotice().GetPossibleDuplicate() || r.sent.Load() != 2 {
		t.Errorf("sent %d times, %v, %v", r.sent.Load(), e, err)
	}
}

// The dedupe store keeps claims for a shorter time than DLQ keeps dead letters. A message is not sent again if the log has notification.sent,
// although the claim is free.
func TestAReplayOfASentMessageSendsNothing(t *testing.T) {
	t.Parallel()
	r := newReplays(t, 1)
	r.Await(flow.DLQ, "dlq.v1.email-sender", 1)
	r.Publish(event.Message(t.Context(), notification.Sent(example(), "email-sender", time.Now(), notification.Receipt{})))
	r.replay(1)
	r.settled()
	if r.sent.Load() != 1 {
		t.Errorf("sent %d times, want only the first send", r.sent.Load())
	}
}

// A second failure is a separate fact, with its own id in the log.
func TestAReplayThatFailsIsASeparateFailure(t *testing.T) {
	t.Parallel()
	r := newReplays(t, 2)
	r.replay(1)
	failed := r.Await(flow.Signing, failedSubject, 2)
	if first, second := failed[0].Headers().Get("ce-id"), failed[1].Headers().Get("ce-id"); first == second || first == "" {
		t.Errorf("their ids are %q and %q", first, second)
	}
}

// A sender that panics after it has sent its request is itself at fault, for any response of the vendor, so its attempts count. A sender that
// panics before that has sent no message.
func TestAPanickingSenderSendsAMessageAtMostThreeTimes(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, defaults())
	place := soon(flow.EmailSender)
	place.Policy.FirstDelay = 10 * time.Millisecond
	var sends, early atomic.Int32
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, place, links(), func(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			if n.GetId() == "n2" {
				if early.Add(1) <= 5 {
					panic("before it was sent")
				}
				return notification.Receipt{Reference: "queued"}, nil
			}
			sends.Add(1)
			notification.Left(ctx)
			panic("after it was sent")
		})
	})
	n, other := example(), example()
	other.Id = "n2"
	for _, n := range []*notifyv1.Notification{n, other} {
		b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	}
	e, err := event.Decode(b.Await(flow.Signing, failedSubject, 1)[0].Data())
	if err != nil || e.GetNotice().GetReason() != "outcome-unknown" || sends.Load() != 3 {
		t.Errorf("sent %d times, %v, %v", sends.Load(), e, err)
	}
	if b.Await(flow.Signing, sentSubject, 1); early.Load() != 6 {
		t.Errorf("the control was tried %d times, want 6", early.Load())
	}
}

// A replay of a message that was given up with an unknown outcome sends it, regardless of the attempts before the replay.
func TestAReplayOfAnUnknownOutcomeIsSent(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, defaults())
	place := soon(flow.EmailSender)
	place.Policy.FirstDelay = 10 * time.Millisecond
	r := &replays{Bench: b, t: t, refuses: 3}
	r.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, place, links(), func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
			if r.sent.Add(1) <= r.refuses {
				return notification.Receipt{}, outcome.Unknown(outcome.Failure(outcome.Provider, "no-answer", nil))
			}
			return notification.Receipt{Reference: "queued"}, nil
		})
	})
	n := example()
	r.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	r.replay(1)
	e, err := event.Decode(r.Await(flow.Signing, sentSubject, 1)[0].Data())
	if err != nil || !e.GetNotice().GetPossibleDuplicate() || r.sent.Load() != 4 {
		t.Errorf("sent %d times, %v, %v", r.sent.Load(), e, err)
	}
}

// settled waits until the replay was acknowledged.
func (r *replays) settled() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for {
		consumer, err := r.Env.JS.Consumer(ctx, flow.Replay, flow.EmailSender)
		if err != nil {
			r.t.Fatal(err)
		}
		if state := consumer.CachedInfo(); state.AckFloor.Stream == 1 {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			r.t.Fatal("the replay was not acknowledged")
		}
	}
}
