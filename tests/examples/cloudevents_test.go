package examples_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/tests/examples"
)

// A subscriber with the CloudEvents SDK for Python, and without code of ours, reads the log. tests/e2e does the same in Go.
func TestPythonCloudEventsSDKReadsTheLog(t *testing.T) {
	t.Parallel()
	examples.Python(t) // skips if it is missing
	l := alone(t, "python")
	l.publish(0, "0")
	read := examples.InPython(t, "nats", l.NATSURL, "1")
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(examples.Signature(0))
	if err != nil {
		t.Fatal(err)
	}
	want := []examples.CloudEvent{{
		SpecVersion: "1.0", ID: "signature-0000", Source: "/signrelay/acme/clickwrap", Type: "signrelay.recipient.signed.v1",
		Subject: "document-0", Time: "2023-11-14T22:13:20.120000+00:00", DataContentType: "application/protobuf",
		DataSchema: event.DataSchema, Data: data,
	}}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}
