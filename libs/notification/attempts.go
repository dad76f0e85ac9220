package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// mostUnknown is how often a message is handed over with an outcome that stays unknown, and then no more: a response that
// cannot be read may come again and again, and must not text a person at every one of a day's 151 attempts.
const mostUnknown = 3

// record is what senders know of a message that did not leave at its first attempt. It is written after the fact: a record
// that cannot be written costs one attempt that is not counted, and never a message.
type record struct {
	Unknown int       `json:"unknown,omitempty"` // attempts of unknown outcome that count, see counts
	Tries   int       `json:"tries,omitempty"`   // all attempts of unknown outcome
	Last    time.Time `json:"last,omitzero"`     // of these
	// Again is true once it was handed over again after an attempt that may have succeeded. It is written before that is
	// done, because who dies in it cannot write it afterwards, and taken back when it certainly was not done.
	Again bool `json:"again,omitempty"`
	// Held is set while it waits for the operator.
	Held *heldRecord `json:"held,omitempty"`
	// Resumed is when it last stopped waiting for the operator: its attempts count from then on.
	Resumed time.Time `json:"resumed,omitzero"`
	// Released is the input that an operator has let go though it is beyond the limits.
	Released string `json:"released,omitempty"`

	revision uint64
}

type heldRecord struct {
	Held
	ByReason bool `json:"by_reason,omitempty"` // it waits with those of its reason; else with all messages of the channel
	// Limits is a fingerprint of the settings beyond whose limits it is, and Input what to release; empty where it waits for others.
	Limits string `json:"limits,omitempty"`
	Input  string `json:"input,omitempty"`
}

// counts reports whether an attempt of unknown outcome counts. It counts only if the other side has worked, for any message,
// since this message's last such attempt. While the other side returns only errors, no number of attempts proves that this
// message is at fault.
func (r record) counts(failing bool, worked time.Time) bool {
	return !failing && worked.After(r.Last)
}

// tooSoon is how long a message whose last attempts had unknown outcomes waits while the other side returns only errors: 2 s,
// 4 s, … 10 min. Each of those attempts may have reached the reader.
func (r record) tooSoon(now time.Time) time.Duration {
	if r.Tries == 0 {
		return 0
	}
	return r.Last.Add(min(circuitPauses.First<<min(r.Tries, 10), 10*time.Minute)).Sub(now)
}

// attempts keeps the records of all messages, of both channels.
type attempts struct{ bucket jetstream.KeyValue }

// keyOf is the key of a notification, one for each replay: an operator who replays a dead letter wants it sent again.
func keyOf(in stage.Event[*notifyv1.Notification]) string {
	key := "message." + event.ChannelName(in.Data.GetChannel()) + "." + in.Data.GetId()
	if in.Replays > 0 {
		key += "." + strconv.Itoa(in.Replays)
	}
	return key
}

// read returns the zero record where there is none.
func (a attempts) read(ctx context.Context, key string) (r record, err error) {
	entry, err := a.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("read the record of attempts: %w", err)
	}
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return record{}, fmt.Errorf("read the record of attempts: %w", err)
	}
	r.revision = entry.Revision()
	return r, nil
}

// write stores r. The claim keeps other workers away from this message, so there is no concurrent write.
func (a attempts) write(ctx context.Context, key string, r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of attempts: %w", err)
	}
	revision, err := a.bucket.Update(ctx, key, data, r.revision)
	if err != nil {
		return fmt.Errorf("write the record of attempts: %w", err)
	}
	r.revision = revision
	return nil
}
