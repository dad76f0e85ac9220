package kafkabridge

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]struct {
		contentType string
		read        func([]byte, *signingv1.SigningEvent) error
	}{
		"protobuf": {"application/protobuf", func(data []byte, e *signingv1.SigningEvent) error { return proto.Unmarshal(data, e) }},
		"json":     {"application/json", func(data []byte, e *signingv1.SigningEvent) error { return protojson.Unmarshal(data, e) }},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			kafka := newBrokers(t).start()
			cfg := kafka.settings()
			kafkasettings.Section.In(&cfg).Format = format
			h := setup(t, cfg)
			e := anEvent(7, "Vertrag 100% ü")
			m, err := event.Message(t.Context(), e)
			m.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			h.Publish(m, err)
			h.replica()

			r := kafka.read(1)[0]
			got := map[string]string{}
			for _, one := range r.Headers {
				got[one.Key] = string(one.Value)
			}
			if diff := cmp.Diff(map[string]string{
				"content-type":   want.contentType,
				"ce_specversion": "1.0",
				"ce_id":          "event-000007",
				"ce_source":      "/signrelay/acme/clickwrap",
				"ce_type":        "signrelay.recipient.opened.v1",
				"ce_subject":     "Vertrag 100% ü", // plain UTF-8, unlike in NATS
				"ce_time":        "2023-11-14T22:13:27Z",
				"ce_dataschema":  event.DataSchema,
				"traceparent":    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			}, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if string(r.Key) != "Vertrag 100% ü" {
				t.Errorf("key %q", r.Key)
			}
			if age := time.Since(r.Timestamp); age > time.Minute {
				t.Errorf("a record of %v ago: the topic's retention would delete it too early", age)
			}
			read := new(signingv1.SigningEvent)
			if err := want.read(r.Value, read); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(read, e) {
				t.Errorf("read %v, want %v", read, e)
			}
		})
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*signingv1.SigningEvent{
		"document": {Id: "id", Document: &signingv1.Document{Id: "document"}, Recipient: &signingv1.Recipient{Id: "person"}},
		"person":   {Id: "id", Document: &signingv1.Document{}, Recipient: &signingv1.Recipient{Id: "person"}},
		"id":       {Id: "id"},
	} {
		if got := key(e); got != want {
			t.Errorf("key %q, want %q", got, want)
		}
	}
}

// Kafka's Java client puts a key into this partition. Consumers that join topics by key need this. The keys are from Kafka's own tests
// (UtilsTest.testMurmur2), their hashes without the sign, of 12 partitions.
func TestPartitionsAreThoseOfKafkasOwnClient(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	want := map[string]int32{}
	for document, murmur2 := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
	} {
		want[document] = murmur2 & 0x7fffffff % 12
		h.Publish(event.Message(t.Context(), anEvent(h.written, document)))
		h.written++
	}
	h.replica()
	for _, r := range kafka.read(len(want), kgo.ClientID("partitions")) {
		if r.Partition != want[string(r.Key)] {
			t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want[string(r.Key)])
		}
	}
}

// A single record cannot be erased, so no record has the provider's request. The rest of the event is as in the log, in any order of its fields.
func TestARecordHasNoCallback(t *testing.T) {
	t.Parallel()
	plain := anEvent(7, "document")
	plain.Attributes = map[string]string{"name": "value"}
	const body = "the raw bytes of the callback"
	for name, c := range map[string]*signingv1.Callback{
		"whole": {Id: "c", Method: "POST", Path: "/webhooks/clickwrap/acme", Query: body, Body: []byte(body), Headers: []*signingv1.Header{{Name: "X", Value: body}}},
		"named": {Id: "c", Item: proto.Uint32(3)},
	} {
		e := proto.CloneOf(plain)
		e.Callback = c
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := proto.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		first := append(slices.Clone(m.Data[len(event.WithoutCallback(m.Data)):]), rest...) // as another program may encode it
		for order, data := range map[string][]byte{"last": m.Data, "first": first} {
			for _, format := range []string{"protobuf", "json"} {
				r, err := encoding(format)(m.Header, data)
				if err != nil {
					t.Fatal(err)
				}
				got := new(signingv1.SigningEvent)
				if format == "json" {
					err = protojson.Unmarshal(r.value, got)
				} else {
					err = proto.Unmarshal(r.value, got)
				}
				if diff := cmp.Diff(plain, got, protocmp.Transform()); diff != "" || err != nil || bytes.Contains(r.value, []byte("callback")) || r.key != "document" {
					t.Errorf("%s, %s, %s: %v %s", name, order, format, err, diff)
				}
			}
		}
	}
}
