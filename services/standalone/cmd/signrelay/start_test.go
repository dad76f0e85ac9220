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

// A consumer that was lost without a floor is created only if the operator says where it begins: with a flag, or at the prompt.
func TestProvisionAsksWhereALostConsumerBegins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags    []string
		attended bool
		types    string
		waiting  int    // for the enricher then; -1 where it fails
		says     string // on success the printed text, else the error
	}{
		"nobody to ask":            {nil, false, "", -1, "--start enricher=new"},
		"a flag says new":          {[]string{"--start", "enricher=new"}, false, "", 0, "consumer enricher on SIGNING; it begins with what is stored from now on"},
		"a flag says all":          {[]string{"--start=enricher=all"}, false, "", 3, "begins with the first message"},
		"somebody says new":        {nil, true, "new\n", 0, "where it stopped is not known"},
		"somebody says all":        {nil, true, "all\n", 3, "all since"},
		"somebody names a time":    {nil, true, "2020-01-01T00:00:00Z\n", 3, "begins with what was stored at 2020"},
		"somebody does not answer": {nil, true, "", -1, "where it stopped is not known"},
		"somebody mistypes":        {nil, true, "yes\n", -1, "neither all nor new"},
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
			err := provision(t.Context(), &call{cfg: cfg, flags: fs, stdin: strings.NewReader(c.types), attended: c.attended, stdout: &out, stderr: io.Discard})
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if (err == nil) != (c.waiting >= 0) || !strings.Contains(said, c.says) {
				t.Fatalf("said %q", said)
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
		"enricher": false, "enricher=": false, "nobody=new": false, "": false, "enricher=old": false,
	} {
		if err := (starts{}).Set(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
