package smssender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// pendingReceipts is the bucket of texts that wait for receipts, by the notification's id.
type pendingReceipts struct {
	bucket jetstream.KeyValue
	js     jetstream.JetStream
}

// errNotOurs means that no such text waits for receipts: another system with the same account sent it, or it is too old.
var errNotOurs = errors.New("no such text")

// expect stores a text before it is sent, because a receipt may arrive early. A text that an earlier attempt stored keeps its receipts.
func (b pendingReceipts) expect(ctx context.Context, n *notifyv1.Notification, parts int) error {
	p := newPending(n, parts)
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode a text: %w", err)
	}
	_, err = b.bucket.Create(ctx, n.GetId(), data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return b.setParts(ctx, n, p.Parts, false)
	}
	if err != nil {
		return fmt.Errorf("store a text: %w", err)
	}
	return nil
}

// setParts sets the number of a text's parts. If some parts were refused, the sender itself publishes that the text did not arrive completely, and
// no receipt publishes it again.
func (b pendingReceipts) setParts(ctx context.Context, n *notifyv1.Notification, parts uint32, refused bool) error {
	_, err := b.change(ctx, n.GetId(), func(p *pending) bool {
		changed := p.Parts != parts || refused && !p.Undelivered
		p.Parts, p.Undelivered = parts, p.Undelivered || refused
		return changed
	})
	return err
}

// record records a receipt, and reports whether it changed anything.
func (b pendingReceipts) record(ctx context.Context, r gateway.DeliveryReceipt) (changed bool, err error) {
	return b.change(ctx, r.Reference, func(p *pending) bool { return p.record(r) })
}

// change changes a text, and publishes the event that is then due. It publishes first and stores afterwards. If the program dies between the
// two, the vendor sends the receipt again, and the event is published again with the same id.
func (b pendingReceipts) change(ctx context.Context, id string, change func(*pending) (changed bool)) (changed bool, err error) {
	for range flow.UpdateAttempts {
		p, revision, err := b.read(ctx, id)
		if err != nil {
			return false, err
		}
		if !change(&p) {
			return false, nil
		}
		if e := p.due(id); e != nil {
			m, err := event.Message(ctx, e)
			if err != nil {
				return false, fmt.Errorf("publish a text's event: %w", err)
			}
			if _, err := b.js.PublishMsg(ctx, m); err != nil {
				return false, fmt.Errorf("publish a text's event: %w", err)
			}
		}
		data, err := json.Marshal(p)
		if err != nil {
			return false, fmt.Errorf("encode a text: %w", err)
		}
		_, err = b.bucket.Update(ctx, id, data, revision)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return true, err
		}
	}
	return false, fmt.Errorf("change a text: other replicas changed it at the same time, %d times in a row", flow.UpdateAttempts)
}

// longestReference is longer than a notification's id, which has 26 characters; Vonage accepts 40.
const longestReference = 64

// read returns a text and its revision, or errNotOurs.
func (b pendingReceipts) read(ctx context.Context, id string) (p pending, revision uint64, err error) {
	if len(id) > longestReference { // it is from another system, and the broker closes the connection if a subject is too long
		return pending{}, 0, errNotOurs
	}
	found, err := b.bucket.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey): // a reference of another system may be any text
		return pending{}, 0, errNotOurs
	case err != nil:
		return pending{}, 0, fmt.Errorf("read a text: %w", err)
	}
	if err := json.Unmarshal(found.Value(), &p); err != nil {
		return pending{}, 0, fmt.Errorf("decode a text: %w", err)
	}
	return p, found.Revision(), nil
}

// find returns a receipt of the notification, with any status: if there is one, the text was sent. It returns nil if there is none.
func (b pendingReceipts) find(ctx context.Context, n *notifyv1.Notification) (*notification.Receipt, error) {
	p, _, err := b.read(ctx, n.GetId())
	if errors.Is(err, errNotOurs) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts, _ := p.partsIn(gateway.Statuses...)
	if len(parts) == 0 {
		return nil, nil
	}
	return &notification.Receipt{Reference: parts[0], Parts: p.Parts}, nil
}
