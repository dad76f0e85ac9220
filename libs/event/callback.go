package event

import (
	"crypto/sha256"
	"fmt"
	"slices"

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
