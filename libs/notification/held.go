package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// Held is a message that waits for the operator. Nothing in it is personal.
type Held struct {
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"` // bounded
	Fault    Fault     `json:"fault"`
	Channel  string    `json:"channel"`
	ID       string    `json:"notification_id"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Document string    `json:"document"`
	Kind     string    `json:"kind"`
}

// HeldMessages lists the messages that senders hold, in no particular order.
func HeldMessages(ctx context.Context, js jetstream.JetStream) (all []Held, err error) {
	bucket, err := js.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	watch, err := bucket.Watch(ctx, "message.>", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list held messages: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("list held messages: the connection was lost")
			}
			if entry == nil { // the end of the present entries
				return all, nil
			}
			var r record
			if err := json.Unmarshal(entry.Value(), &r); err != nil {
				return nil, fmt.Errorf("read %s: %w", entry.Key(), err)
			}
			if r.Held != nil {
				all = append(all, r.Held.Held)
			}
		}
	}
}

// Release has the senders of a channel try held messages at once, instead of at their next probe. They notice within a minute.
func Release(ctx context.Context, js jetstream.JetStream, channel string) error {
	bucket, err := js.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	if _, err := bucket.PutString(ctx, releaseKey(channel), time.Now().UTC().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("release held messages: %w", err)
	}
	return nil
}

func releaseKey(channel string) string { return "release." + channel }

// heldFor is how long a message may wait for the operator or for the other side, from when NOTIFY stored it: six hours less
// than NOTIFY keeps it. Then it becomes a dead letter, which waits for 30 days more.
var heldFor = func() time.Duration {
	for _, s := range flow.Streams {
		if s.Name == flow.Notify {
			return s.MaxAge - 6*time.Hour
		}
	}
	panic("notification: no stream " + flow.Notify)
}()

// channelOf is the channel of a sender's stage: "sms" of "sms-sender".
func channelOf(stage string) string { return strings.TrimSuffix(stage, "-sender") }
