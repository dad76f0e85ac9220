package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// An empty listing is reported on stderr. stdout stays empty, for programs that read it.
func TestEmptyListingsAreReported(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"timeline d1":                        "The log has no events for signing.v1.*.*.*.*.d1\n",
		"dlq list --stage sms-sender":        "No dead letters match\n",
		"quarantine list":                    "No quarantined callbacks match\n",
		"held list":                          "No messages are held\n",
		"held list --channel sms --json":     "No messages are held\n",
		"held release --yes":                 "No messages are held\n",
		"tail --no-follow --since 1h --json": "The log has no events for signing.v1.>\n",
	} {
		var stdout, stderr bytes.Buffer
		args := append(strings.Fields(line), "--nats.url", broker.URL)
		if status := dispatch(t.Context(), args, nil, os.Stdin, &stdout, &stderr); status != 0 || stdout.Len() > 0 || stderr.String() != want {
			t.Errorf("%s: status %d, stdout %q, stderr %q", line, status, stdout.String(), stderr.String())
		}
	}
}
