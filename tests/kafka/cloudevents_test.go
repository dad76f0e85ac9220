package kafka_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/examples"
)

// The other tests read with the CloudEvents SDK for Go. This one reads with the SDK for Python and with the examples, in both formats of
// the data.
func TestPythonCloudEventsSDKReadsTheTopic(t *testing.T) {
	t.Parallel()
	for format, unmarshal := range map[string]func([]byte, proto.Message) error{"protobuf": proto.Unmarshal, "json": protojson.Unmarshal} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			examples.Python(t) // skips if it is missing
			broker := sharedBroker(t)
			r := &reading{bridged: setup(t, broker, ", create_topic: true, format: "+format), broker: broker}
			for _, r.language = range examples.Languages {
				defer func(s *examples.Subscriber, language string) {
					r.Until(t, language+" has printed it", func() bool { return len(s.Lines()) > 0 })
					if printed := s.Stop(); !slices.Equal(printed, []string{examples.Line(examples.Signature(0))}) {
						t.Errorf("%s printed %q", language, printed)
					}
				}(r.start(t), r.language)
			}
			r.StartService(t, "kafka-bridge", "bridge")
			signed := examples.Signature(0)
			r.store(t, signed)
			r.untilRead(1)

			events := examples.InPython(t, "kafka", broker.addr, broker.topic, "1")
			if len(events) != 1 {
				t.Fatalf("%d events", len(events))
			}
			got := new(signingv1.SigningEvent)
			if err := unmarshal(events[0].Data, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(signed, got, protocmp.Transform()); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			events[0].Data = nil
			want := examples.CloudEvent{
				SpecVersion: "1.0", ID: "signature-0000", Source: "/signrelay/acme/clickwrap", Type: "signrelay.recipient.signed.v1",
				Subject: "document-0", Time: "2023-11-14T22:13:20.120000+00:00", DataContentType: "application/" + format,
				DataSchema: event.DataSchema,
			}
			if diff := cmp.Diff(want, events[0]); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}
