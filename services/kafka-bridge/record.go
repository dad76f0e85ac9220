package kafkabridge

import (
	"cmp"
	"fmt"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// record is an event of the log as it is written to Kafka: CloudEvents 1.0, Kafka binding, binary mode. Its time is the time of writing. With
// the log's time, the topic's retention would delete old events as soon as they were written. A record has no callback, because an operator cannot
// erase a single record of a topic (docs/adr/0038).
type record struct {
	key   string
	value []byte
	// header is the event's header in NATS. It becomes the record's headers when the record is encoded.
	header      nats.Header
	contentType string
}

// encoder makes a record of an event.
type encoder func(h nats.Header, data []byte) (record, error)

// encoding returns the encoder of a format: "protobuf", the log's own bytes without the callback, or "json", protojson as the command line prints it.
func encoding(format string) encoder {
	if format == "json" {
		return jsonRecord
	}
	return protobufRecord
}

func jsonRecord(h nats.Header, data []byte) (record, error) {
	e, err := event.Decode(data)
	if err != nil {
		return record{}, err
	}
	e.Callback = nil
	value, err := protojson.Marshal(e)
	if err != nil {
		return record{}, fmt.Errorf("encode event %s: %w", e.GetId(), err)
	}
	return record{key: key(e), value: value, header: h, contentType: "application/json"}, nil
}

func protobufRecord(h nats.Header, data []byte) (record, error) {
	data = event.WithoutCallback(data)
	made := record{value: data, header: h, contentType: "application/protobuf"}
	if names, ok := scan(data); ok {
		made.key = names.key()
		return made, nil
	}
	e, err := event.Decode(data)
	if err != nil {
		return record{}, err
	}
	made.key = key(e)
	return made, nil
}

// key returns the key of a record. The key decides the partition, and so which events stay in order: those of a document. An event
// without a document has the person's id (the events of an eSignature v1 signer name no document), or otherwise its own id: such
// events need no order, and are spread over the partitions. An id that looks personal is hashed.
func key(e *signingv1.SigningEvent) string {
	return names{e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetId()}.key()
}

func (n names) key() string {
	return event.Public(cmp.Or(n.document, n.recipient, n.event))
}
