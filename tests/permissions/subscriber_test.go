package permissions_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// subscribed is an environment with ten events in its log, of two documents in turn, and a team with a copy of the log. The team connects
// as any client does, with a name and a password only.
func subscribed(t *testing.T) (h *testenv.Env, operator, team user) {
	t.Helper()
	h = testenv.WithAccounts(t, testenv.SandboxSettings)
	operator = connect(t, h, flow.Operator)
	for n := range 10 {
		publish(operator, n)
	}
	for range 2 { // it can be repeated
		h.CopyLog(t, "billing")
	}
	team = connect(t, h, "billing")
	h.Until(t, "the copy is complete", func() bool { return messages(team) == 10 })
	return h, operator, team
}

func publish(operator user, n int) {
	operator.Helper()
	subject := fmt.Sprintf("signing.v1.acme.clickwrap.recipient.signed.d%d", n%2)
	if _, err := operator.js.Publish(operator.Context(), subject, []byte(strconv.Itoa(n)), jetstream.WithMsgID("id-"+strconv.Itoa(n))); err != nil {
		operator.Fatal(err)
	}
}

func messages(u user) int {
	s, err := u.js.Stream(context.Background(), flow.Signing)
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

// A team reads as docs/subscribe.md describes: with a durable consumer, from a position, from a time, and for one document.
func TestSubscriberReads(t *testing.T) {
	t.Parallel()
	_, operator, team := subscribed(t)
	work, err := team.js.CreateOrUpdateConsumer(t.Context(), flow.Signing, jetstream.ConsumerConfig{
		Durable: "billing", FilterSubjects: []string{"signing.v1.*.*.recipient.signed.>"}, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 11 {
		if n == 10 {
			publish(operator, n)
		}
		m, err := work.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data()) != strconv.Itoa(n) || m.Headers().Get("Nats-Msg-Id") != "id-"+strconv.Itoa(n) {
			t.Errorf("%s is %q with %v", m.Subject(), m.Data(), m.Headers())
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(n+1) { // its position in the log
			t.Errorf("%+v %v", meta, err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := work.Info(t.Context()); err != nil || is.NumAckPending != 0 || is.AckFloor.Stream != 11 {
		t.Errorf("%+v %v", is, err)
	}

	tenth, err := must(team).GetMsg(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range map[string]struct {
		cfg  jetstream.OrderedConsumerConfig
		want string
	}{
		"from a sequence": {jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 9}, "8 9 10"},
		"from a time":     {jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &tenth.Time}, "9 10"},
		"one document":    {jetstream.OrderedConsumerConfig{FilterSubjects: []string{"signing.v1.*.*.*.*.d1"}}, "1 3 5 7 9"},
	} {
		c, err := team.js.OrderedConsumer(t.Context(), flow.Signing, way.cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for pending := uint64(1); pending > 0; {
			m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			got, pending = append(got, string(m.Data())), meta.NumPending
		}
		if text := strings.Join(got, " "); text != way.want {
			t.Errorf("%s: %s, want %s", name, text, way.want)
		}
	}

	// Push consumers, as the ordered consumers of many libraries are.
	old, err := team.nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := old.SubscribeSync("signing.v1.>", nats.BindStream(flow.Signing), nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		if _, err := sub.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := team.nc.LastError(); err != nil {
		t.Errorf("a request was refused: %v", err)
	}
}

func must(u user) jetstream.Stream {
	u.Helper()
	s, err := u.js.Stream(u.Context(), flow.Signing)
	if err != nil {
		u.Fatal(err)
	}
	return s
}

// A team cannot change the log or the services' work, whatever it sends and wherever it directs responses.
func TestSubscriberCannotWrite(t *testing.T) {
	t.Parallel()
	h, operator, team := subscribed(t)
	for _, subject := range []string{
		"signing.v1.acme.clickwrap.recipient.signed.d1", "notify.v1.send.sms.acme.clickwrap.d1", "dlq.v1.enricher", "replay.v1.enricher.x", "$KV.STATE.dedupe.gap",
		"$JS.API.STREAM.DELETE.SIGNING", "$JS.API.STREAM.PURGE.SIGNING", "$JS.API.STREAM.UPDATE.SIGNING", "$JS.API.STREAM.MSG.DELETE.SIGNING",
		"$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.INFO.NOTIFY", "$JS.API.CONSUMER.MSG.NEXT.NOTIFY.sms-sender", "$JS.API.STREAM.SNAPSHOT.SIGNING",
		"signrelay.api.CONSUMER.CREATE.SIGNING", "signrelay.copy.x",
	} {
		if team.may(&nats.Msg{Subject: subject, Reply: "_INBOX.x"}) {
			t.Errorf("a team may publish on %s", subject)
		}
		if !operator.may(&nats.Msg{Subject: subject, Data: []byte("{"), Header: nats.Header{"Nats-Expected-Stream": {"none"}}}) {
			t.Errorf("no user may publish on %s", subject)
		}
	}
	if team.maySubscribe("signrelay.copy.>") {
		t.Error("a team may subscribe to the deliveries of other copies")
	}

	// The enricher processes an event. A team may publish an ack for it, but only in its own account, where it has no effect.
	enricher := connect(t, h, flow.Enricher)
	publish(operator, 10)
	sent := "signing.v1.acme.clickwrap.document.sent.d1"
	if _, err := operator.js.Publish(t.Context(), sent, []byte("sent")); err != nil {
		t.Fatal(err)
	}
	c, err := enricher.js.Consumer(t.Context(), flow.Signing, flow.Enricher)
	if err != nil {
		t.Fatal(err)
	}
	var inFlight jetstream.Msg
	for {
		if inFlight, err = c.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if inFlight.Subject() == sent {
			break
		}
		if err := inFlight.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := world(operator)
	team.may(&nats.Msg{Subject: inFlight.Reply(), Data: []byte("+ACK")})
	team.may(&nats.Msg{Subject: "$JS.API.CONSUMER.DELETE.SIGNING.enricher"})
	team.may(&nats.Msg{Subject: "$JS.API.CONSUMER.PAUSE.SIGNING.enricher", Data: []byte(`{"pause_until":"2100-01-01T00:00:00Z"}`)})
	team.may(&nats.Msg{Subject: "$JS.API.CONSUMER.MSG.NEXT.SIGNING.kafka-bridge", Data: []byte(`{"batch":10,"id":"x","group":"active"}`), Reply: "_INBOX.x"})
	mine := fmt.Sprintf(`{"stream_name":"SIGNING","config":{"durable_name":"enricher","name":"enricher","ack_policy":"none","deliver_subject":%q}}`, "notify.v1.send.sms.acme.clickwrap.d1")
	if output := team.request("$JS.API.CONSUMER.DURABLE.CREATE.SIGNING.enricher", mine); !strings.Contains(output, `"name":"enricher"`) {
		t.Errorf("a team may not make a consumer of that name: %s", output)
	}

	// The server sends a response to any subject that the requester names, without a check of permissions.
	elsewhere := []nats.Msg{
		{Subject: "$JS.API.DIRECT.GET.SIGNING", Data: []byte(`{"seq":1}`), Reply: "notify.v1.send.sms.acme.clickwrap.d1"},
		{Subject: "$JS.API.DIRECT.GET.SIGNING", Data: []byte(`{"seq":1}`), Reply: "signing.v1.acme.clickwrap.document.completed.d1"},
		{Subject: "$JS.API.CONSUMER.INFO.SIGNING.enricher", Reply: "signrelay.api.CONSUMER.CREATE.SIGNING"},
		{Subject: "$JS.API.CONSUMER.INFO.SIGNING.enricher", Reply: "$JS.API.STREAM.DELETE.SIGNING"},
	}
	for i := range elsewhere {
		if !team.may(&elsewhere[i]) {
			t.Errorf("a team may not send a request on %s", elsewhere[i].Subject)
		}
	}
	// A later request gets its response later.
	if output := team.request("$JS.API.CONSUMER.INFO.SIGNING.enricher", ""); !strings.Contains(output, `"name":"enricher"`) {
		t.Errorf("a team's own consumer: %q", output)
	}
	if after := world(operator); after != before {
		t.Errorf("a team changed something:\n%s\n%s", before, after)
	}
	if n := messages(team); n != 12 {
		t.Errorf("the copy has %d messages", n)
	}

	// A team can remove its own copy in this way; only the team loses it.
	if !team.may(&nats.Msg{Subject: "$JS.API.DIRECT.GET.SIGNING", Data: []byte(`{"seq":1000}`), Reply: "$JS.API.STREAM.DELETE.SIGNING"}) {
		t.Error("a team may not send the request")
	}
	h.Until(t, "the copy is gone", func() bool { return messages(team) == -1 })
	if after := world(operator); after != before {
		t.Errorf("a team changed something:\n%s\n%s", before, after)
	}
	if !operator.may(&elsewhere[0]) { // in the streams' account such a response does arrive
		t.Error("the operator may not send the request")
	}
	h.Until(t, "the response is a message of NOTIFY", func() bool { return world(operator) != before })
	if err := inFlight.DoubleAck(t.Context()); err != nil {
		t.Errorf("the enricher's own ack: %v", err)
	}
}
