package kafkabridge

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Batches have the bytes that the client's own encoder makes.
func TestBatchesAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_800_000_000_123)
	var records []record
	var want []protocol.Record
	for n, r := range []record{
		{key: "document", value: []byte("value"), contentType: "application/protobuf", header: nats.Header{
			"ce-subject": {"Vertrag%20100%25 %C3%BC"}, "ce-id": {"1"}, "traceparent": {"00-1"}, "Nats-Msg-Id": {"1"}, "ce-datacontenttype": {"x"},
		}},
		{value: nil, contentType: "application/json"},
		{key: "empty", value: []byte{}, header: nats.Header{"ce-broken": {"100%"}, "ce-empty": {""}}},
		{key: strings.Repeat("k", 200), value: bytes.Repeat([]byte("v"), 70_000), header: manyHeaders(40)},
	} {
		records = append(records, r)
		value := protocol.Bytes(nil)
		if r.value != nil {
			value = kafka.NewBytes(r.value)
		}
		want = append(want, protocol.Record{Offset: int64(n), Time: at, Key: kafka.NewBytes([]byte(r.key)), Value: value, Headers: clientHeaders(r)})
	}
	got, count := appendBatch(nil, records, len(records), at)
	var buffer bytes.Buffer
	if _, err := (&protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(want...)}).WriteTo(&buffer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(buffer.Bytes(), got); diff != "" || count != len(records) {
		t.Errorf("%d records (-want +got):\n%s", count, diff)
	}
}

func manyHeaders(count int) nats.Header {
	h := nats.Header{}
	for n := range count {
		h[fmt.Sprintf("ce-attribute%02d", n)] = []string{"value"}
	}
	return h
}

// clientHeaders returns a record's headers as the client encodes them.
func clientHeaders(r record) []kafka.Header {
	made := []kafka.Header{{Key: "content-type", Value: []byte(r.contentType)}}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		attribute, isAttribute := strings.CutPrefix(name, "ce-")
		value := r.header.Get(name)
		switch {
		case attribute == "datacontenttype":
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

// A batch is below its limit, unless it has one record.
func TestSizeOfBatches(t *testing.T) {
	t.Parallel()
	small, large := record{value: make([]byte, batchBytes/2)}, record{value: make([]byte, 2*batchBytes)}
	for _, c := range []struct {
		records []record
		most    int
		want    int
	}{
		{[]record{small, small, small}, 3, 1},
		{[]record{{}, small, large}, 3, 2},
		{[]record{large, small}, 2, 1},
		{[]record{{}, {}, {}}, 3, 3},
		{[]record{{}, {}, {}}, 2, 2},
	} {
		if _, count := appendBatch(nil, c.records, c.most, time.Now()); count != c.want {
			t.Errorf("%d records, want %d", count, c.want)
		}
	}
}

// The fast path finds the key that the decoder finds, and accepts nothing that the decoder does not accept.
func FuzzScan(f *testing.F) {
	for n := range 3 {
		e := anEvent(n, "document")
		e.Attributes = map[string]string{"name": "value", "": ""}
		e.Recipient = &signingv1.Recipient{Id: "person"}
		e.Notice = &signingv1.Notice{Parts: 3, PossibleDuplicate: true}
		e.Links = []*signingv1.Link{{Url: "https://link", ExpiresAt: timestamppb.Now()}}
		data, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x0a\x01\xff"))
	f.Add([]byte("\x52\x03\x0a\x01a\x52\x00\x52\x03\x12\x01b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, ok := scan(data)
		if !ok {
			return
		}
		e, err := event.Decode(data)
		if err != nil {
			t.Fatalf("scan accepts what the decoder refuses: %v", err)
		}
		if got, want := names.key(), key(e); got != want {
			t.Errorf("key %q, want %q", got, want)
		}
	})
}

// The fast path reads every event that the services make.
func TestEventsAreScanned(t *testing.T) {
	t.Parallel()
	e := anEvent(1, "document")
	fill(e.ProtoReflect())
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := scan(data); !ok {
		t.Error("an event with all fields is decoded, because scan does not know one of them")
	}
}

// fill sets all fields of a message.
func fill(m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOf("name").MapKey(), protoreflect.ValueOf("value"))
		case f.IsList():
			fill(m.Mutable(f).List().AppendMutable().Message())
		case f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).Message())
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOf("text"))
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOf([]byte("\x00\xff")))
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOf(true))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOf(uint32(1)))
		case f.Kind() == protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOf(int64(1)))
		case f.Kind() == protoreflect.Int32Kind:
			m.Set(f, protoreflect.ValueOf(int32(1)))
		}
	}
}
