package e2e

import (
	"testing"
	"time"

	cejs "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A subscriber with the CloudEvents SDK, and without code of ours, reads the log.
func TestCloudEventsSDKReadsTheLog(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	if out, err := h.Command(t, "send", "clickwrap", "request-signed", "--url", h.IngestURL); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
	read := 0
	for m, err := range log.Messages(t.Context(), "signing.v1.*.*.recipient.signed.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		message := cejs.NewMessage(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if message.ReadEncoding() != binding.EncodingBinary {
			t.Fatalf("encoding %v, want binary", message.ReadEncoding())
		}
		got, err := binding.ToEvent(t.Context(), message)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
		e, err := event.Decode(got.Data())
		if err != nil {
			t.Fatal(err)
		}
		for name, pair := range map[string][2]string{
			"specversion":     {got.SpecVersion(), "1.0"},
			"id":              {got.ID(), e.GetId()},
			"source":          {got.Source(), "/signrelay/demo/clickwrap"},
			"type":            {got.Type(), "signrelay.recipient.signed.v1"},
			"subject":         {got.Subject(), "596f858584281715b3493d0c"},
			"time":            {got.Time().UTC().Format(time.RFC3339Nano), "2017-07-19T16:15:43.512Z"},
			"datacontenttype": {got.DataContentType(), "application/protobuf"},
			"dataschema":      {got.DataSchema(), event.DataSchema},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s %q, want %q", name, pair[0], pair[1])
			}
		}
		read++
	}
	if read != 1 {
		t.Errorf("%d events, want 1", read)
	}
}
