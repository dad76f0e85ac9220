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

// encoding returns the encoder of a format: "protobuf", the log's own bytes, or "json", protojson as the command line prints it.
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

// record returns a message of the log as it is written to Kafka: CloudEvents 1.0, Kafka binding, binary mode. Its time is the time of
// writing. With the log's time, the topic's retention would delete old events as soon as they were written.
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

// key returns the key of a record. The key decides the partition, and so which events stay in order: those of a document. An event
// without a document has the person's id (the events of an eSignature v1 signer name no document), or otherwise its own id: such
// events need no order, and are spread over the partitions. An id that looks personal is hashed.
func key(e *signingv1.SigningEvent) string {
	return event.Public(cmp.Or(e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetId()))
}

// headers returns the CloudEvents attributes and the trace. Values are percent-encoded in NATS and plain UTF-8 in Kafka.
func headers(h nats.Header, contentType string) []kafka.Header {
	made := []kafka.Header{{Key: "content-type", Value: []byte(contentType)}}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		attribute, isAttribute := strings.CutPrefix(name, "ce-")
		value := h.Get(name)
		switch {
		case attribute == "datacontenttype": // content-type has the same value
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
