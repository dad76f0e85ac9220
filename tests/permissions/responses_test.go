package permissions_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The server sends a response to any subject that the requester names, without a check of permissions. So a user with one request can make
// the server do what the user may not: an empty response on $JS.API.STREAM.DELETE.SIGNING removes the log, and one with a chosen body, on a
// subject of events, makes a consumer. In an account of its own, a service gains nothing from this.
func TestResponseSubjectsReachNothing(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	operator, ingest := connect(t, h, flow.Operator), connect(t, h, "ingest")
	written := `{"stream_name":"NOTIFY","config":{"name":"mine","ack_policy":"none"}}`
	for _, body := range []string{"before", written} {
		if _, err := ingest.js.Publish(t.Context(), "signing.v1.acme.clickwrap.document.sent.d1", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := operator.js.Publish(t.Context(), "notify.v1.send.sms.acme.clickwrap.d1", []byte("before")); err != nil {
		t.Fatal(err)
	}
	const first, second, none = `{"seq":1}`, `{"seq":2}`, `{"seq":1000}`
	rows := []struct{ question, response string }{
		{first, "notify.v1.send.sms.acme.clickwrap.d2"},
		{second, "$JS.API.CONSUMER.CREATE.NOTIFY.mine"},
		{none, "$JS.API.CONSUMER.DELETE.NOTIFY.sms-sender"},
		{none, "$JS.API.STREAM.PURGE.NOTIFY"},
		{none, "$JS.API.STREAM.DELETE.SIGNING"},
	}
	const directGet = "$JS.API.DIRECT.GET.SIGNING"
	before := world(operator)
	for _, row := range rows {
		if !ingest.may(&nats.Msg{Subject: directGet, Data: []byte(row.question), Reply: row.response}) {
			t.Errorf("ingest may not request a response on %s", row.response)
		}
		// A later request gets its response later.
		if output := ingest.request(directGet, first); output != "SIGNINGbefore" {
			t.Errorf("ingest gets the response %q", output)
		}
		if after := world(operator); after != before {
			t.Errorf("a response on %s changed something:\n%s\n%s", row.response, before, after)
		}
	}
	for _, row := range rows {
		before := world(operator)
		if !operator.may(&nats.Msg{Subject: directGet, Data: []byte(row.question), Reply: row.response}) {
			t.Error("the operator may not send the request")
		}
		h.Until(t, "the operator's response on "+row.response+" changed something", func() bool { return world(operator) != before })
	}
	if ingest.may(&nats.Msg{Subject: "$JS.API.DIRECT.GET.SIGNING", Data: []byte(none), Reply: "$JS.ACK.NOTIFY.sms-sender.1.1.1.1.1"}) &&
		ingest.nc.LastError() == nil {
		t.Error("an ack may be a response")
	}
}
