package permissions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/house"
)

// Nobody may do what is another's to do. The messages are such that nothing comes of them where they are let through.
func TestNobodyDoesAnothersWork(t *testing.T) {
	t.Parallel()
	h := house.Guarded(t, house.AroundTheSandbox)
	users := map[string]user{}
	for _, u := range flow.Users() {
		users[u.Name] = connect(t, h, u.Name)
	}
	tried := 0
	for _, owner := range flow.Users() {
		for _, pattern := range owner.Publish {
			m := nats.NewMsg(strings.NewReplacer("*", "x", ">", "x").Replace(pattern))
			m.Data = []byte("nothing")
			m.Header.Set(jetstream.ExpectedStreamHeader, "none")
			if !users[owner.Name].may(m) {
				t.Errorf("%s may not publish on %s", owner.Name, m.Subject)
			}
			for _, other := range flow.Users() {
				if mine(other, m.Subject) {
					continue
				}
				tried++
				if users[other.Name].may(m) {
					t.Errorf("%s may publish on %s, which is for %s", other.Name, m.Subject, owner.Name)
				}
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d were tried", tried)
	}
}

func mine(u flow.User, subject string) bool {
	for _, pattern := range u.Publish {
		if server.SubjectMatchesFilter(subject, pattern) {
			return true
		}
	}
	return false
}

// Real requests with real consequences: first everybody tries what is not his, and nothing changes; then who may does the same.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	h := house.Guarded(t, house.AroundTheSandbox)
	users := map[string]user{}
	for _, u := range append(flow.Users(), flow.User{Name: flow.Operator}) {
		users[u.Name] = connect(t, h, u.Name)
	}
	operator := users[flow.Operator]
	for _, subject := range []string{
		"signing.v1.acme.clickwrap.document.sent.d1", "notify.v1.send.sms.acme.clickwrap.d1", "notify.v1.send.email.acme.clickwrap.d1",
		"notify.v1.link.acme.clickwrap.d1", "quarantine.v1.acme.clickwrap.x", "dlq.v1.enricher", "replay.v1.enricher.SIGNING.1.1", "$KV.LINKS.code.x", "$KV.TEXTS.x",
	} {
		if _, err := operator.js.Publish(t.Context(), subject, []byte("before")); err != nil {
			t.Fatal(err)
		}
	}
	everybody := "ingest enricher shortener sms-sender email-sender kafka-bridge"
	const first = `{"seq":1}`
	pull := func(stream, stage string) string { return "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + stage }
	rows := []struct {
		who      string // each of them is refused
		subject  string
		body     string
		control  string // who may
		answered string // what he is answered, in part; empty where nothing answers
	}{
		{"kafka-bridge", "$JS.API.DIRECT.GET.SIGNING", first, "ingest", "before"},
		{everybody, "$JS.API.DIRECT.GET.NOTIFY", first, flow.Operator, "before"},
		{"enricher shortener sms-sender email-sender kafka-bridge", "$JS.API.DIRECT.GET.QUARANTINE", first, "ingest", "before"},
		{everybody, "$JS.API.DIRECT.GET.DLQ", first, flow.Operator, "before"},
		{everybody, "$JS.API.DIRECT.GET.REPLAY", first, flow.Operator, "before"},
		{everybody, "$JS.API.STREAM.MSG.GET.SIGNING", first, flow.Operator, `"seq":1`},
		{"ingest enricher kafka-bridge sms-sender email-sender", "$JS.API.DIRECT.GET.KV_LINKS.$KV.LINKS.code.x", "", "shortener", "before"},
		{"ingest enricher kafka-bridge shortener", "$JS.API.DIRECT.GET.KV_TEXTS.$KV.TEXTS.x", "", "sms-sender", "before"},
		{"ingest shortener sms-sender email-sender kafka-bridge", pull("SIGNING", "enricher"), `{"batch":1,"no_wait":true}`, "enricher", "before"},
		{"ingest enricher shortener email-sender kafka-bridge", pull("NOTIFY", "sms-sender"), `{"batch":1,"no_wait":true}`, "sms-sender", "before"},
		{"ingest shortener sms-sender email-sender kafka-bridge", pull("REPLAY", "enricher"), `{"batch":1,"no_wait":true}`, "enricher", "before"},
		{
			everybody, "$JS.API.CONSUMER.CREATE.SIGNING.mine", `{"stream_name":"SIGNING","config":{"name":"mine","ack_policy":"none"}}`,
			flow.Operator, `"name":"mine"`,
		},
		{
			everybody, "$JS.API.CONSUMER.CREATE.SIGNING", `{"stream_name":"SIGNING","config":{"ack_policy":"none"}}`, flow.Operator, `"config"`,
		},
		{
			everybody, "$JS.API.CONSUMER.DURABLE.CREATE.NOTIFY.mine",
			`{"stream_name":"NOTIFY","config":{"durable_name":"mine","ack_policy":"none"}}`, flow.Operator, `"name":"mine"`,
		},
		{"enricher shortener sms-sender email-sender kafka-bridge", "quarantine.v1.acme.clickwrap.y", "after", "ingest", `"QUARANTINE"`},
		{"enricher shortener sms-sender email-sender kafka-bridge", "signing.v1.acme.clickwrap.recipient.signed.d1", "after", "ingest", `"SIGNING"`},
		{"ingest shortener sms-sender email-sender kafka-bridge", "notify.v1.link.acme.clickwrap.d2", "after", "enricher", `"NOTIFY"`},
		{"ingest sms-sender email-sender kafka-bridge", "notify.v1.send.sms.acme.clickwrap.d2", "after", "shortener", `"NOTIFY"`},
		{"ingest enricher shortener email-sender kafka-bridge", "dlq.v1.sms-sender", "after", "sms-sender", `"DLQ"`},
		{everybody, "replay.v1.sms-sender.NOTIFY.1.1", "after", flow.Operator, `"REPLAY"`},
		{"ingest enricher sms-sender email-sender kafka-bridge", "$KV.LINKS.code.y", "after", "shortener", `"KV_LINKS"`},
		{"enricher shortener sms-sender email-sender kafka-bridge", "$KV.STATE.dedupe.gap", "1-2", "ingest", `"KV_STATE"`},
		{everybody, "$JS.API.CONSUMER.PAUSE.NOTIFY.sms-sender", `{"pause_until":"2100-01-01T00:00:00Z"}`, flow.Operator, `"paused":true`},
		{everybody, "$JS.API.CONSUMER.DELETE.NOTIFY.sms-sender", "", flow.Operator, `"success":true`},
		{everybody, "$JS.API.STREAM.MSG.DELETE.SIGNING", first, flow.Operator, `"success":true`},
		{everybody, "$JS.API.STREAM.UPDATE.SIGNING", `{"name":"SIGNING","subjects":["signing.v1.>"],"max_age":1000000000,"duplicate_window":1000000000,"allow_direct":true}`, flow.Operator, `"config"`},
		{everybody, "$JS.API.STREAM.PURGE.SIGNING", "", flow.Operator, `"success":true`},
		{everybody, "$JS.API.STREAM.DELETE.SIGNING", "", flow.Operator, `"success":true`},
		{everybody, "$JS.API.STREAM.CREATE.MINE", `{"name":"MINE","subjects":["mine"]}`, flow.Operator, `"config"`},
	}
	before := world(operator)
	for _, row := range rows {
		for name := range strings.FieldsSeq(row.who) {
			if users[name].may(&nats.Msg{Subject: row.subject, Data: []byte(row.body), Reply: "_INBOX.x"}) {
				t.Errorf("%s may publish on %s", name, row.subject)
			}
		}
	}
	if after := world(operator); after != before {
		t.Errorf("what was refused changed something:\n%s\n%s", before, after)
	}
	for _, row := range rows {
		if said := users[row.control].asked(row.subject, row.body); !strings.Contains(said, row.answered) {
			t.Errorf("%s is answered on %s: %q", row.control, row.subject, said)
		}
	}

	for _, u := range flow.Users() {
		for _, subject := range []string{">", "signing.v1.>", "notify.v1.>", "$JS.API.>", "$JS.EVENT.>"} {
			if users[u.Name].mayHear(subject) {
				t.Errorf("%s may listen to %s", u.Name, subject)
			}
		}
	}
	if !operator.mayHear("notify.v1.>") {
		t.Error("the operator may not listen")
	}
}

// world is all that the server tells about streams and consumers, but for the time.
func world(operator user) string {
	var b strings.Builder
	for s := range operator.js.ListStreams(operator.Context()).Info() {
		fmt.Fprintln(&b, s.Config.Name, s.Config.MaxAge, s.State.Msgs, s.State.LastSeq, s.State.Consumers)
		stream, err := operator.js.Stream(operator.Context(), s.Config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // removed just now
		}
		if err != nil {
			operator.Fatal(err)
		}
		for c := range stream.ListConsumers(operator.Context()).Info() {
			fmt.Fprintln(&b, "  ", c.Name, c.Paused, c.NumPending, c.NumAckPending, c.Delivered.Consumer, c.AckFloor.Consumer, c.NumWaiting)
		}
	}
	return b.String()
}
