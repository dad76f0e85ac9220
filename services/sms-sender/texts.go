package smssender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// texts is the bucket of texts whose receipts are awaited, by the notification's id.
type texts struct {
	bucket jetstream.KeyValue
	js     jetstream.JetStream
}

// errUnknown means that no such text is awaited: another system's of the same account, or one that is too old.
var errUnknown = errors.New("no such text")

// expect enters a text before it is handed over, so that its receipt finds it, however early it comes. A text that an
// earlier attempt entered keeps what was heard of it.
func (b texts) expect(ctx context.Context, n *notifyv1.Notification, parts int) error {
	t := textOf(n, parts)
	record, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode a text: %w", err)
	}
	_, err = b.bucket.Create(ctx, n.GetId(), record)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return b.count(ctx, n, t.Parts, false)
	}
	if err != nil {
		return fmt.Errorf("enter a text: %w", err)
	}
	return nil
}

// count says how many parts a text has. Where some were refused, the log hears from the sender that it did not arrive in
// whole, and no receipt says so again.
func (b texts) count(ctx context.Context, n *notifyv1.Notification, parts uint32, refused bool) error {
	_, err := b.change(ctx, n.GetId(), func(t *text) bool {
		news := t.Parts != parts || refused && !t.ToldUndelivered
		t.Parts, t.ToldUndelivered = parts, t.ToldUndelivered || refused
		return news
	})
	return err
}

// hear takes a receipt in, and tells whether it was news.
func (b texts) hear(ctx context.Context, r receipt) (news bool, err error) {
	return b.change(ctx, r.reference, func(t *text) bool { return t.hear(r) })
}

// races is how often a change is made again when another replica made one meanwhile. A text has few parts, so few come at once.
const races = 20

// change makes a change to a text, and tells the log what is due then. The log hears of it first and the bucket then knows that
// it did: whoever dies in between leaves a receipt that comes again, and an event that comes again with the same id.
func (b texts) change(ctx context.Context, id string, change func(*text) (news bool)) (news bool, err error) {
	for range races {
		t, revision, err := b.read(ctx, id)
		if err != nil {
			return false, err
		}
		if !change(&t) {
			return false, nil
		}
		if e := t.due(id); e != nil {
			m, err := event.Message(ctx, e)
			if err != nil {
				return false, fmt.Errorf("tell the log: %w", err)
			}
			if _, err := b.js.PublishMsg(ctx, m); err != nil {
				return false, fmt.Errorf("tell the log: %w", err)
			}
		}
		record, err := json.Marshal(t)
		if err != nil {
			return false, fmt.Errorf("encode a text: %w", err)
		}
		_, err = b.bucket.Update(ctx, id, record, revision)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return true, err
		}
	}
	return false, errors.New("change a text: other replicas changed it at the same time, again and again")
}

// longestReference is longer than any notification's id, which has 26 characters; Vonage takes 40.
const longestReference = 64

// read returns a text and its revision, or errUnknown.
func (b texts) read(ctx context.Context, id string) (t text, revision uint64, err error) {
	if len(id) > longestReference { // nobody's of ours, and a subject that the broker would end the connection for
		return text{}, 0, errUnknown
	}
	found, err := b.bucket.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey): // strangers' references are any text
		return text{}, 0, errUnknown
	case err != nil:
		return text{}, 0, fmt.Errorf("look for a text: %w", err)
	}
	if err := json.Unmarshal(found.Value(), &t); err != nil {
		return text{}, 0, fmt.Errorf("decode a text: %w", err)
	}
	return t, found.Revision(), nil
}

// trace looks for a receipt of the notification, of whatever status: where there is one, it was handed over.
func (b texts) trace(ctx context.Context, n *notifyv1.Notification) (*notification.Receipt, error) {
	t, _, err := b.read(ctx, n.GetId())
	if errors.Is(err, errUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	heard, _ := t.parts(statuses...)
	if len(heard) == 0 {
		return nil, nil
	}
	return &notification.Receipt{Reference: heard[0], Parts: t.Parts}, nil
}
