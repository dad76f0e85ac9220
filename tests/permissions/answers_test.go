package permissions_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The server sends its answers wherever the asker says, and asks nobody whether he may. So who may ask one question can have the server
// do what he may not: an empty answer on $JS.API.STREAM.DELETE.SIGNING removes the log, one that he wrote himself, as an event,
// makes a consumer. From an account of its own a service reaches by this nothing that it does not reach anyway.
func TestAnswersReachNothing(t *testing.T) {
	t.Parallel()
	h := testenv.Guarded(t, testenv.AroundTheSandbox)
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
	rows := []struct{ question, answer string }{
		{first, "notify.v1.send.sms.acme.clickwrap.d2"},
		{second, "$JS.API.CONSUMER.CREATE.NOTIFY.mine"},
		{none, "$JS.API.CONSUMER.DELETE.NOTIFY.sms-sender"},
		{none, "$JS.API.STREAM.PURGE.NOTIFY"},
		{none, "$JS.API.STREAM.DELETE.SIGNING"},
	}
	const ask = "$JS.API.DIRECT.GET.SIGNING"
	before := world(operator)
	for _, row := range rows {
		if !ingest.may(&nats.Msg{Subject: ask, Data: []byte(row.question), Reply: row.answer}) {
			t.Errorf("ingest may not ask for an answer on %s", row.answer)
		}
		// What is asked after it is answered after it.
		if said := ingest.asked(ask, first); said != "SIGNINGbefore" {
			t.Errorf("ingest is answered %q", said)
		}
		if after := world(operator); after != before {
			t.Errorf("an answer on %s did something:\n%s\n%s", row.answer, before, after)
		}
	}
	for _, row := range rows {
		before := world(operator)
		if !operator.may(&nats.Msg{Subject: ask, Data: []byte(row.question), Reply: row.answer}) {
			t.Error("the operator may not ask")
		}
		h.Until(t, "the operator's answer on "+row.answer+" did something", func() bool { return world(operator) != before })
	}
	if ingest.may(&nats.Msg{Subject: "$JS.API.DIRECT.GET.SIGNING", Data: []byte(none), Reply: "$JS.ACK.NOTIFY.sms-sender.1.1.1.1.1"}) &&
		ingest.nc.LastError() == nil {
		t.Error("an ack may be an answer")
	}
}
