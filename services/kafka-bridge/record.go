package kafkabridge

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// encoder makes a record's value and content type of an event.
type encoder func(data []byte, e *signingv1.SigningEvent) (value []byte, contentType string, err error)

// encoding is the encoder of a format: "protobuf", the log's own bytes, or "json", protojson as the command line prints it.
func encoding(format string) encoder {
	if format == "json" {
		return func(_ []byte, e *signingv1.SigningEvent) ([]byte, string, error) {
			value, err := protojson.Marshal(e)
			return value, "application/json", err
		}
	}
	return func(data []byte, _ *signingv1.SigningEvent) ([]byte, string, error) {
		return data, "application/protobuf", nil
	}
}

// record is a message of the log as Kafka gets it: CloudEvents 1.0, Kafka binding, binary mode. Its time is left to the
// moment of writing: by the log's own, an old log would fall to the topic's retention as soon as it was written.
func (encode encoder) record(h nats.Header, data []byte) (kafka.Message, error) {
	e, err := event.Decode(data)
	if err != nil {
		return kafka.Message{}, err
	}
	value, contentType, err := encode(data, e)
	if err != nil {
		return kafka.Message{}, fmt.Errorf("encode event %s: %w", e.GetId(), err)
	}
	return kafka.Message{Key: []byte(key(e)), Value: value, Headers: headers(h, contentType)}, nil
}

// key is what decides on the partition, and so what stays in order: the document. Where there is none it is the person (an
// eSignature v1 signer's events name no document), else the event's own id: what is about nothing in common has no order
// to keep, and spreads. Of an id that looks personal it is the hash.
func key(e *signingv1.SigningEvent) string {
	return event.Public(cmp.Or(e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetId()))
}

// headers are the CloudEvents attributes and the trace. Values are percent-encoded in NATS and plain UTF-8 in Kafka.
func headers(h nats.Header, contentType string) []kafka.Header {
	made := []kafka.Header{{Key: "content-type", Value: []byte(contentType)}}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		attribute, isAttribute := strings.CutPrefix(name, "ce-")
		value := h.Get(name)
		switch {
		case attribute == "datacontenttype": // content-type stands for it
		case isAttribute:
			plain, err := url.PathUnescape(value)
			if err != nil {
				plain = value
			}
			made = append(made, kafka.Header{Key: "ce_" + attribute, Value: []byte(plain)})
		case name == "traceparent", name == "tracestate":
			made = append(made, kafka.Header{Key: name, Value: []byte(value)})
		}
	}
	return made
}
