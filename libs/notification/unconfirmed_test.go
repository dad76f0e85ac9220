package notification_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// forgetful is a dedupe store that becomes unavailable before its first confirmation. When it is available again, the claim has lapsed.
type forgetful struct {
	dedupe.Store
	mu    sync.Mutex
	owner string
	away  bool
}

func (f *forgetful) Claim(ctx context.Context, owner string, ids ...string) ([]dedupe.Claim, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner = owner
	return f.Store.Claim(ctx, owner, ids...)
}

func (f *forgetful) Confirm(ctx context.Context, done ...dedupe.Done) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return f.Store.Confirm(ctx, done...)
	}
	f.away = true
	if err := f.Release(ctx, f.owner, dedupe.Unknown, done[0].ID); err != nil {
		return err
	}
	return dedupe.ErrUnavailable
}

// The sender runs, and has recorded that it sent the message. Even if the dedupe store is unavailable for longer than the sender waits, no
// person gets the message twice.
func TestAnUnconfirmedMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, defaults())
	open := b.Env.Claims
	b.Env.Claims = func(o dedupe.Options) dedupe.Store { return &forgetful{Store: open(o)} }
	place := soon(flow.EmailSender)
	place.Timeout = 500 * time.Millisecond // so there is one attempt to confirm
	var sends atomic.Int32
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, place, links(), func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
			sends.Add(1)
			return notification.Receipt{Reference: "queued"}, nil
		})
	})
	n := example()
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	e, err := event.Decode(b.Await(flow.Signing, sentSubject, 1)[0].Data())
	if err != nil || e.GetNotice().GetPossibleDuplicate() {
		t.Errorf("%v, %v", e, err)
	}
	b.Settled(flow.EmailSender)
	if sends.Load() != 1 {
		t.Errorf("sent %d times", sends.Load())
	}
}
