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

// mostUnknown is the maximum number of times that a message is sent while its outcome stays unknown. A vendor may return an unreadable
// response at every attempt, and a person must not get a message at each of a day's 151 attempts.
const mostUnknown = 3

// record is the state of a message that was not sent at its first attempt. It is written after the attempt. If it cannot be written, one
// attempt is not counted, and no message is lost.
type record struct {
	Unknown int       `json:"unknown,omitempty"` // attempts of unknown outcome that count, see counts
	Tries   int       `json:"tries,omitempty"`   // all attempts of unknown outcome
	Last    time.Time `json:"last,omitzero"`     // the time of the last of these
	// Again is true once the message was sent again after an attempt that may have succeeded. It is written before the attempt, because a
	// sender that dies in the attempt cannot write it afterwards. It is reset if the message certainly was not sent.
	Again bool `json:"again,omitempty"`
	// Held is set while the message waits for the operator.
	Held *heldRecord `json:"held,omitempty"`
	// Resumed is when the last hold ended: attempts count from then on.
	Resumed time.Time `json:"resumed,omitzero"`
	// Released is the input that an operator released although it is beyond the limits.
	Released string `json:"released,omitempty"`

	revision uint64
}

type heldRecord struct {
	Held
	ByReason bool `json:"by_reason,omitempty"` // held with the messages of its reason; otherwise with all messages of the channel
	// Limits is a fingerprint of the settings whose limits it exceeds, and Input is the input to release; both are empty for other holds.
	Limits string `json:"limits,omitempty"`
	Input  string `json:"input,omitempty"`
	Person string `json:"person,omitempty"` // the provider's id of its person, in public form
}

// held returns the held message of a record with that key.
func (r record) held(key string) Held {
	h := r.Held.Held
	h.Limit, h.key, h.single, h.person = r.Held.Limits != "", key, r.Held.ByReason, r.Held.Person
	return h
}

// counts reports whether an attempt of unknown outcome counts. It counts only if the vendor has accepted any message since this
// message's last such attempt. While the vendor returns only errors, no number of attempts proves that this message is at fault.
func (r record) counts(failing bool, worked time.Time) bool {
	return !failing && worked.After(r.Last)
}

// tooSoon returns the delay of a message whose last attempts had unknown outcomes, while the vendor returns only errors: 2 s, 4 s, … 10 min.
// Each of those attempts may have reached the person.
func (r record) tooSoon(now time.Time) time.Duration {
	if r.Tries == 0 {
		return 0
	}
	return r.Last.Add(min(circuitPauses.First<<min(r.Tries, 10), 10*time.Minute)).Sub(now)
}

// attempts is the store of the records, for the messages of all channels.
type attempts struct{ bucket jetstream.KeyValue }

// keyOf returns the key of a notification's record. Each replay has its own: an operator who replays a dead letter wants it sent again.
func keyOf(in stage.Event[*notifyv1.Notification]) string {
	key := "message." + event.ChannelName(in.Data.GetChannel()) + "." + in.Data.GetId()
	if in.Replays > 0 {
		key += "." + strconv.Itoa(in.Replays)
	}
	return key
}

// read returns the zero record if there is none.
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

// write stores r. The claim excludes other workers, so there is no concurrent write.
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
