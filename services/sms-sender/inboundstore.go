package smssender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// inboundTexts is the bucket INBOUND: the texts that were handled, the parts of long texts, and the time of the last reply to each number.
// All keys are keyed hashes, and the parts are encrypted, because they are what a person wrote.
type inboundTexts struct {
	js     jetstream.JetStream
	keys   keyring.Keys
	bucket jetstream.KeyValue
}

// inboundRecord is a text that was begun. A repetition of the text has the same source and document, although another text to the number may have
// been sent meanwhile: the id of the event depends on them.
type inboundRecord struct {
	lastText
	Done bool `json:"done,omitempty"` // everything that follows from it is stored

	key      string
	revision uint64
	begun    time.Time // by the broker's clock
	repeated bool      // an earlier request began it
}

// begin records a text before anything that follows from it, or returns the record of an earlier request.
func (b inboundTexts) begin(ctx context.Context, id string, about lastText) (inboundRecord, error) {
	keys := keysOf(b.keys, "text", id)
	if found, err := b.find(ctx, keys); err != nil || found.key != "" {
		return found, err
	}
	value, err := json.Marshal(inboundRecord{lastText: about})
	if err != nil {
		return inboundRecord{}, err
	}
	_, err = b.bucket.Create(ctx, keys[0], value)
	repeated := errors.Is(err, jetstream.ErrKeyExists) // another replica is faster
	if err != nil && !repeated {
		return inboundRecord{}, fmt.Errorf("record a text: %w", err)
	}
	record, err := b.find(ctx, keys[:1])
	if err == nil && record.key == "" {
		err = errors.New("record a text: its record has disappeared")
	}
	record.repeated = repeated
	return record, err
}

func (b inboundTexts) find(ctx context.Context, keys []string) (r inboundRecord, err error) {
	for _, key := range keys {
		e, err := b.bucket.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			continue
		case err != nil:
			return inboundRecord{}, fmt.Errorf("read the record of a text: %w", err)
		}
		if err := json.Unmarshal(e.Value(), &r); err != nil {
			return inboundRecord{}, errors.New("the record of a text cannot be read")
		}
		r.key, r.revision, r.begun, r.repeated = key, e.Revision(), e.Created(), true
		return r, nil
	}
	return inboundRecord{}, nil
}

// done records that everything that follows from a text is stored. If another replica records it at the same time, one record is enough.
func (b inboundTexts) done(ctx context.Context, r inboundRecord) error {
	r.Done = true
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err = b.bucket.Update(ctx, r.key, value, r.revision); err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return fmt.Errorf("record a text: %w", err)
	}
	return nil
}

// responseWindow is the time in which a number gets one response of a kind. An automatic reply to our response would otherwise cause the next
// one, without end.
const responseWindow = 10 * time.Minute

type lastResponse struct {
	ID string    `json:"id"` // of the text to which it responds
	At time.Time `json:"at"`
}

// mayRespond reports whether a text gets a response of that kind, and records it. The text that got one before gets the same one again, which has
// the same id.
func (b inboundTexts) mayRespond(ctx context.Context, kind, number, id string, now time.Time) (bool, error) {
	key := keysOf(b.keys, "response", kind+"/"+number)[0]
	value, err := json.Marshal(lastResponse{ID: id, At: now.UTC()})
	if err != nil {
		return false, err
	}
	for range flow.UpdateAttempts {
		e, err := b.bucket.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			_, err = b.bucket.Create(ctx, key, value)
		} else if err == nil {
			var last lastResponse
			if json.Unmarshal(e.Value(), &last) == nil && last.ID == id {
				return true, nil
			} else if now.Sub(last.At) < responseWindow {
				return false, nil
			}
			_, err = b.bucket.Update(ctx, key, value, e.Revision())
		}
		if !flow.Raced(err) {
			return err == nil, err
		}
	}
	return false, errRaced
}

var errRaced = fmt.Errorf("change an entry of %s: other replicas changed it at the same time, %d times in a row", flow.Inbound, flow.UpdateAttempts)

// longText is a text that arrives in parts.
type longText struct {
	Parts map[string]textPart `json:"parts"` // by their numbers
}

type textPart struct {
	ID   string    `json:"id"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// sameText is the longest time between the parts of one text. A phone uses a reference again after 256 long texts at the earliest.
const sameText = time.Hour

// add adds a part, and reports whether it changed anything. A part that does not belong to the parts before it begins a new text, unless it is
// older than they are.
func (l *longText) add(t gateway.InboundText) (changed bool) {
	number, part := strconv.Itoa(t.Part), textPart{t.ID, t.Text, t.At}
	if before, known := l.Parts[number]; known && before.ID == t.ID {
		return false
	}
	fits := true
	for of, other := range l.Parts {
		if of == number || t.At.Sub(other.At).Abs() > sameText {
			if t.At.Before(other.At) {
				return false
			}
			fits = false
		}
	}
	if !fits || l.Parts == nil {
		l.Parts = map[string]textPart{}
	}
	l.Parts[number] = part
	return true
}

// join stores a part of a long text. When all parts are stored, it returns the text, with the id and the time of its first part.
func (b inboundTexts) join(ctx context.Context, number string, t gateway.InboundText) (whole gateway.InboundText, complete bool, err error) {
	key := keysOf(b.keys, "parts", strings.Join([]string{number, t.Reference, strconv.Itoa(t.Parts)}, "/"))[0]
	for range flow.UpdateAttempts {
		var long longText
		e, err := b.bucket.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return gateway.InboundText{}, false, fmt.Errorf("read the parts of a text: %w", err)
		default:
			if plain, err := b.keys.Open(e.Value(), []byte(key)); err == nil {
				_ = json.Unmarshal(plain, &long) // otherwise a new text begins
			}
		}
		if long.add(t) {
			value, err := json.Marshal(long)
			if err != nil {
				return gateway.InboundText{}, false, err
			}
			sealed := b.keys.Seal(value, []byte(key))
			if e == nil {
				_, err = b.bucket.Create(ctx, key, sealed)
			} else {
				_, err = b.bucket.Update(ctx, key, sealed, e.Revision())
			}
			if flow.Raced(err) {
				continue
			}
			if err != nil {
				return gateway.InboundText{}, false, fmt.Errorf("store a part of a text: %w", err)
			}
		}
		whole, complete = long.whole(t)
		return whole, complete, nil
	}
	return gateway.InboundText{}, false, errRaced
}

// whole returns the text of which t is a part, if all parts are there.
func (l longText) whole(t gateway.InboundText) (gateway.InboundText, bool) {
	if len(l.Parts) < t.Parts || l.Parts[strconv.Itoa(t.Part)].ID != t.ID {
		return gateway.InboundText{}, false
	}
	var text strings.Builder
	for i := range t.Parts {
		text.WriteString(l.Parts[strconv.Itoa(i+1)].Text)
	}
	first := l.Parts["1"]
	return gateway.InboundText{ID: first.ID, From: t.From, Text: text.String(), At: first.At}, true
}
