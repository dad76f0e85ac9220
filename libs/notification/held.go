package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Held is a message that waits for the operator. It contains no personal data.
type Held struct {
	Since    time.Time     `json:"since"`
	Reason   string        `json:"reason"` // bounded
	Fault    outcome.Fault `json:"fault"`
	Channel  string        `json:"channel"`
	ID       string        `json:"notification_id"`
	Source   string        `json:"source"`
	Provider string        `json:"provider"`
	Document string        `json:"document"`
	Kind     string        `json:"kind"`
	// Country is the number's country (ISO 3166), if the settings do not allow texts to it.
	Country string `json:"country,omitempty"`
	// Limit is true if the message is beyond the settings' limits. Such a message can be released individually.
	Limit bool `json:"limit,omitempty"`
	// Tries is the number of its attempts that the vendor or the mail server refused for an operator's reason. Of the messages that are held for one reason, only one at a
	// time is tried, so most have none.
	Tries int `json:"tries,omitempty"`
	// Next is when the sender next tries one of the messages that are held for this reason. Only HeldOf sets it; zero if it is not known.
	Next time.Time `json:"next,omitzero"`

	key    string // of its record
	single bool   // only messages with its reason are held, not all of its channel
	person string // the provider's id of its person, in public form
}

// Key identifies the held message among all, for HeldMessage.
func (h Held) Key() string { return h.key }

// Person identifies the person among those of the document, without personal data. It is empty for a message that an earlier version held.
func (h Held) Person() string { return h.person }

// HeldMessage returns a held message by its key, or false if it is not held any more.
func HeldMessage(ctx context.Context, js jetstream.JetStream, key string) (Held, bool, error) {
	bucket, err := js.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return Held{}, false, fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	r, err := attempts{bucket}.read(ctx, key)
	if err != nil || r.Held == nil {
		return Held{}, false, err
	}
	return r.held(key), true, nil
}

// HeldMessages lists the messages that senders hold, in no particular order.
func HeldMessages(ctx context.Context, js jetstream.JetStream) (all []Held, err error) {
	return heldIn(records(js).Messages(ctx, recordPrefix+"message.>", time.Time{}))
}

// records is the bucket ATTEMPTS, whose keys follow recordPrefix in the subjects.
func records(js jetstream.JetStream) event.Log {
	return event.Log{JS: js, Stream: "KV_" + flow.Attempts}
}

const recordPrefix = "$KV." + flow.Attempts + "."

// heldIn returns the held messages of records.
func heldIn(messages iter.Seq2[*jetstream.RawStreamMsg, error]) (all []Held, err error) {
	for m, err := range messages {
		if err != nil {
			return nil, fmt.Errorf("look up held messages: %w", err)
		}
		h, held, err := HeldOfRecord(m)
		if err != nil {
			return nil, err
		}
		if held {
			all = append(all, h)
		}
	}
	return all, nil
}

// HeldWith returns those of the messages with these keys that senders hold, in no particular order.
func HeldWith(ctx context.Context, js jetstream.JetStream, keys ...string) (all []Held, err error) {
	for part := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(keys))), 2*mostAsked) {
		subjects := make([]string, len(part))
		for i, key := range part {
			subjects[i] = recordPrefix + key
		}
		found, err := heldIn(records(js).Last(ctx, subjects...))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// HeldOfRecord returns the held message of a record of the bucket ATTEMPTS, or false if it is none.
func HeldOfRecord(m *jetstream.RawStreamMsg) (Held, bool, error) {
	key, is := strings.CutPrefix(m.Subject, recordPrefix)
	if !is || !strings.HasPrefix(key, "message.") || m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != "" {
		return Held{}, false, nil
	}
	var r record
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return Held{}, false, fmt.Errorf("read %s: %w", key, err)
	}
	if r.Held == nil {
		return Held{}, false, nil
	}
	return r.held(key), true, nil
}

// mostAsked is the number of messages up to which HeldOf asks at once: each needs two of the 1,024 subjects that the server accepts in a request.
const mostAsked = 500

// HeldOf returns those of the messages that senders hold. ids are those of notifications by channel; the first 500 are looked up, in one request.
func HeldOf(ctx context.Context, js jetstream.JetStream, ids map[string][]string) (all []Held, err error) {
	var subjects []string
	for channel, of := range ids {
		for _, id := range of[:min(len(of), mostAsked-len(subjects)/2)] {
			key := recordPrefix + "message." + channel + "." + id
			subjects = append(subjects, key, key+".*") // the second one: of a message that an operator replayed
		}
	}
	if len(subjects) == 0 {
		return nil, nil
	}
	if all, err = heldIn(records(js).Last(ctx, subjects...)); err != nil {
		return nil, err
	}
	return all, nextTries(ctx, js, all)
}

// nextTries sets Next of held messages, from what the senders stored about the last attempt for each reason.
func nextTries(ctx context.Context, js jetstream.JetStream, all []Held) error {
	const prefix = "$KV." + flow.Attempts + "."
	next := map[string]time.Time{} // by key
	var subjects []string
	for _, h := range all {
		if key := probeKey(h.Channel, h.Reason); !h.Limit && !slices.Contains(subjects, prefix+key) {
			subjects = append(subjects, prefix+key)
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	for m, err := range (event.Log{JS: js, Stream: "KV_" + flow.Attempts}).Last(ctx, subjects...) {
		if err != nil {
			return fmt.Errorf("look up the next attempt: %w", err)
		}
		var p probe
		if m.Header.Get("KV-Operation") != "" {
			continue
		}
		if err := json.Unmarshal(m.Data, &p); err != nil {
			return fmt.Errorf("read %s: %w", m.Subject[len(prefix):], err)
		}
		next[m.Subject[len(prefix):]] = p.Next
	}
	for i, h := range all {
		if !h.Limit {
			all[i].Next = next[probeKey(h.Channel, h.Reason)]
		}
	}
	return nil
}

// probe is what a sender stores when a held message was refused again. It is one record for each channel and reason: one write for each attempt, of
// which there are at most one a minute and replica, instead of one for each of the messages that wait.
type probe struct {
	Next time.Time `json:"next"`
}

// probeKey is within the keys that the channel's sender may write. No notification has the id gate.
func probeKey(channel, reason string) string { return "message." + channel + ".gate." + reason }

// ReleaseLimited releases a message that is beyond the settings' limits. Its sender notices this within a minute. If the message is not held
// any more, nothing changes.
func ReleaseLimited(ctx context.Context, js jetstream.JetStream, it Held) error {
	bucket, err := js.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	for range flow.UpdateAttempts {
		r, err := attempts{bucket}.read(ctx, it.key)
		if err != nil || r.Held == nil || r.Held.Limits == "" {
			return err
		}
		r.Released, r.Resumed, r.Held = r.Held.Input, time.Now(), nil
		if err = (attempts{bucket}).write(ctx, it.key, &r); !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
	}
	return fmt.Errorf("release a held message: its sender changed its record at the same time, %d times in a row", flow.UpdateAttempts)
}

// Release makes the senders of a channel try held messages at once, instead of at their next probe. They notice this within a minute.
// Messages beyond the settings' limits stay held: see ReleaseLimited.
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

// heldFor is the time for which a message may wait for the operator or for the vendor, from the time at which NOTIFY stored it: six hours less
// than NOTIFY keeps it. Then it becomes a dead letter, which is kept for 30 days more.
var heldFor = func() time.Duration {
	for _, s := range flow.Streams {
		if s.Name == flow.Notify {
			return s.MaxAge - 6*time.Hour
		}
	}
	panic("notification: no stream " + flow.Notify)
}()
