package main

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// A lost consumer without a floor is created only if the operator sets its start position: with a flag, or at the prompt.
func TestProvisionRequiresTheStartOfALostConsumer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags    []string
		terminal bool
		input    string
		waiting  int    // messages for the enricher afterwards; -1 if the command fails
		output   string // part of the output, or of the error
	}{
		"no terminal":                 {nil, false, "", -1, "--start enricher=new"},
		"the flag new":                {[]string{"--start", "enricher=new"}, false, "", 0, "consumer enricher on SIGNING; it begins with the messages that are stored from now on"},
		"the flag all":                {[]string{"--start=enricher=all"}, false, "", 3, "begins with the first message"},
		"the operator enters new":     {nil, true, "new\n", 0, "the position where it stopped is not known"},
		"the operator enters all":     {nil, true, "all\n", 3, "everything since"},
		"the operator enters a time":  {nil, true, "2020-01-01T00:00:00Z\n", 3, "begins with the messages that were stored since 2020"},
		"the operator enters nothing": {nil, true, "", -1, "the position where it stopped is not known"},
		"the operator mistypes":       {nil, true, "yes\n", -1, "neither all nor new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := realtest.NATS(t)
			_, js := broker.Connect()
			if err := flow.Provision(t.Context(), js, 1); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := js.Publish(t.Context(), "signing.v1.acme.clickwrap.document.sent.d1", nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := js.DeleteConsumer(t.Context(), flow.Signing, flow.Enricher); err != nil {
				t.Fatal(err)
			}
			fs := flag.NewFlagSet("provision", flag.ContinueOnError)
			provisionFlags(fs)
			if err := fs.Parse(c.flags); err != nil {
				t.Fatal(err)
			}
			cfg := config.Default()
			cfg.NATS.URL = broker.URL
			var out bytes.Buffer
			err := provision(t.Context(), &call{cfg: cfg, flags: fs, stdin: strings.NewReader(c.input), terminal: c.terminal, stdout: &out, stderr: io.Discard})
			output := out.String()
			if err != nil {
				output += err.Error()
			}
			if (err == nil) != (c.waiting >= 0) || !strings.Contains(output, c.output) {
				t.Fatalf("output %q", output)
			}
			if c.waiting < 0 {
				return
			}
			consumer, err := js.Consumer(t.Context(), flow.Signing, flow.Enricher)
			if err != nil {
				t.Fatal(err)
			}
			if n := int(consumer.CachedInfo().NumPending); n != c.waiting {
				t.Errorf("%d wait, want %d", n, c.waiting)
			}
		})
	}
}

func TestStartFlag(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"enricher=new": true, "sms-sender=2026-01-31T18:00:00Z": true, "kafka-bridge=all": true,
		"enricher": false, "enricher=": false, "unknown=new": false, "": false, "enricher=old": false,
	} {
		if err := (starts{}).Set(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
