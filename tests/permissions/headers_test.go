package permissions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A header of a message on a service's own subject does not affect messages of others. Nats-Rollup would remove all other messages of the
// stream; Nats-TTL or a schedule would let the message expire or appear at any time.
func TestHeadersDoNotAffectOthersMessages(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	operator := connect(t, h, flow.Operator)
	kept := map[string]string{ // a subject in each stream with several writers, by stream
		flow.Signing: "signing.v1.acme.clickwrap.document.sent.d1", flow.Notify: "notify.v1.link.acme.clickwrap.d1", flow.Quarantine: "quarantine.v1.acme.clickwrap.d1",
		flow.DLQ: "dlq.v1.unknown", flow.Replay: "replay.v1.unknown.x", "KV_" + flow.State: "$KV.STATE.unknown", "KV_" + flow.Attempts: "$KV.ATTEMPTS.unknown", "KV_" + flow.Texts: "$KV.TEXTS.unknown",
	}
	for _, subject := range kept {
		if _, err := operator.js.Publish(t.Context(), subject, []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for _, u := range flow.Users() {
		who := connect(t, h, u.Name)
		for _, pattern := range u.Publish {
			if strings.HasPrefix(pattern, "$JS.API.STREAM.PURGE.") {
				continue // the keeper may remove all entries of a bucket, with and without headers
			}
			subject := concrete(pattern)
			for _, header := range []nats.Header{
				{"Nats-Rollup": {"all"}},
				{"Nats-Rollup": {"sub"}},
				{"Nats-Rollup": {"all"}, jetstream.ExpectedLastSeqHeader: {"0"}},
				{"Nats-TTL": {"1s"}},
				{"Nats-Schedule": {"@at " + time.Now().UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"notify.v1.send.sms.x.y.z"}},
				{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}, "Nats-Rollup": {"all"}},
				{"KV-Operation": {"PURGE"}, "Nats-Rollup": {"all"}},
			} {
				tried++
				if err := who.nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := who.nc.Flush(); err != nil { // the server has received them all
			t.Fatal(err)
		}
	}
	for stream, subject := range kept {
		// A later message is stored after them; without the header it may be written.
		if _, err := operator.js.Publish(t.Context(), subject+".behind", []byte("x")); err != nil {
			t.Fatal(err)
		}
		s, err := operator.js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := s.GetLastMsgForSubject(t.Context(), subject); err != nil || string(m.Data) != "kept" {
			t.Errorf("another user's message in %s is gone: %v", stream, err)
		}
	}
	if tried < 500 {
		t.Errorf("only %d cases were tried", tried)
	}
}
