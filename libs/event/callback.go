package event

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// callbackField is the number of SigningEvent.callback. It is the last field of a payload, so that it can be replaced and removed without
// decoding the event (docs/adr/0038).
const callbackField protowire.Number = 16

// CallbackID returns the id of a provider's request: a function of its content, so that a repeated request has the same id. The query and the
// body are those that the log keeps, without the source's secrets: a hash of a secret would help to guess it.
func CallbackID(source, provider, method, route, query string, body []byte) string {
	content := sha256.Sum256(body) // hash would copy it
	return hash("callback", source, provider, method, route, query, string(content[:]))
}

// Carries reports whether a callback is a whole request, and not only the name of one.
func Carries(c *signingv1.Callback) bool { return c.GetMethod() != "" }

// storedWithin is the time in which the events of a callback are stored after its receipt, and from the first to the last one. Ingest takes at most
// 20 s; the broker's clock may differ.
const storedWithin = time.Minute

// Callback returns the whole callback that reported an event, or nil if the log does not have it. stored is the time at which the event was
// stored. It reads the source's events around that time, and around the callback's receipt: an item that was repaired later is stored later than
// its batch.
func (l Log) Callback(ctx context.Context, e *signingv1.SigningEvent, stored time.Time) (*signingv1.Callback, error) {
	id := e.GetCallback().GetId()
	if id == "" || Carries(e.GetCallback()) {
		return e.GetCallback(), nil
	}
	for _, at := range []time.Time{stored, e.GetReceivedAt().AsTime()} {
		for found, err := range l.Reported(ctx, e, at) {
			if err != nil {
				return nil, err
			}
			if Carries(found.Event.GetCallback()) {
				return found.Event.GetCallback(), nil
			}
		}
	}
	return nil, nil
}

// Reported yields the events that name the same callback as e, and were stored around a time.
func (l Log) Reported(ctx context.Context, e *signingv1.SigningEvent, around time.Time) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		id := []byte(e.GetCallback().GetId())
		for m, err := range l.Messages(ctx, SourceFilter(e.GetSource(), e.GetProvider()), around.Add(-storedWithin)) {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			if m.Time.After(around.Add(storedWithin)) {
				return
			}
			if !bytes.Contains(m.Data, id) { // most events are of other callbacks
				continue
			}
			found, err := Decode(m.Data)
			if err != nil {
				yield(Stored{}, err)
				return
			}
			if found.GetCallback().GetId() == string(id) && !yield(Stored{m, found}, nil) {
				return
			}
		}
	}
}

// SetCallback returns the payload of an event with another callback; nil for none. It may reuse the memory of data.
func SetCallback(data []byte, c *signingv1.Callback) ([]byte, error) {
	plain := WithoutCallback(data)
	return appendCallback(slices.Grow(plain, callbackSize(c)), c)
}

// WithoutCallback returns the payload of an event without its callback. It does not copy a payload that Message made. A payload that is no
// event is returned unchanged.
func WithoutCallback(data []byte) []byte {
	for at := 0; at < len(data); {
		number, _, n := protowire.ConsumeField(data[at:])
		switch {
		case n < 0:
			return data
		case number != callbackField:
			at += n
		case at+n == len(data):
			return data[:at]
		default: // another program encoded it in another order
			data = slices.Concat(data[:at], data[at+n:])
		}
	}
	return data
}

// callbackSize returns the size of the field, in bytes.
func callbackSize(c *signingv1.Callback) int {
	if c == nil {
		return 0
	}
	return protowire.SizeTag(callbackField) + protowire.SizeBytes(proto.Size(c))
}

func appendCallback(data []byte, c *signingv1.Callback) ([]byte, error) {
	if c == nil {
		return data, nil
	}
	data = protowire.AppendTag(data, callbackField, protowire.BytesType)
	data = protowire.AppendVarint(data, uint64(proto.Size(c)))
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(data, c)
	if err != nil {
		return nil, fmt.Errorf("encode a callback: %w", err)
	}
	return data, nil
}
