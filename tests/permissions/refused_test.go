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
	"github.com/signrelay/signrelay/tests/testenv"
)

// No user may do another user's work. The messages have no effect if they are accepted.
func TestUsersPublishOnlyTheirSubjects(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	users := map[string]user{}
	for _, u := range flow.Users() {
		users[u.Name] = connect(t, h, u.Name)
	}
	tried := 0
	for _, owner := range flow.Users() {
		for _, pattern := range owner.Publish {
			m := nats.NewMsg(concrete(pattern))
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
		t.Errorf("only %d cases were tried", tried)
	}
}

// concrete is a subject that matches a pattern.
func concrete(pattern string) string { return strings.NewReplacer("*", "x", ">", "x").Replace(pattern) }

func mine(u flow.User, subject string) bool {
	for _, pattern := range u.Publish {
		if server.SubjectMatchesFilter(subject, pattern) {
			return true
		}
	}
	return false
}

// Real requests with real effects: first every user tries those of others, and nothing changes; then the permitted user does the same.
func TestForbiddenRequestsAreRefused(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	users := map[string]user{}
	for _, u := range append(flow.Users(), flow.User{Name: flow.Operator}, flow.User{Name: "sys"}) {
		users[u.Name] = connect(t, h, u.Name)
	}
	operator := users[flow.Operator]
	for _, subject := range []string{
		"signing.v1.acme.clickwrap.document.sent.d1", "notify.v1.send.sms.acme.clickwrap.d1", "notify.v1.send.email.acme.clickwrap.d1",
		"notify.v1.link.acme.clickwrap.d1", "quarantine.v1.acme.clickwrap.x", "dlq.v1.enricher", "replay.v1.enricher.SIGNING.1.1", "$KV.LINKS.code.x", "$KV.TEXTS.x", "$KV.ATTEMPTS.x",
	} {
		if _, err := operator.js.Publish(t.Context(), subject, []byte("before")); err != nil {
			t.Fatal(err)
		}
	}
	everybody := "ingest enricher shortener sms-sender email-sender kafka-bridge"
	const first = `{"seq":1}`
	pull := func(stream, stage string) string { return "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + stage }
	rows := []struct {
		who      string // these are refused
		subject  string
		body     string
		control  string // may do it
		response string // a part of the control's response; empty if there is none
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
		// The description of a stream lists its subjects, which are a bucket's keys, if the request has a filter in its body.
		{"ingest enricher sms-sender email-sender kafka-bridge", "$JS.API.STREAM.INFO.KV_LINKS", `{"subjects_filter":"$KV.LINKS.>"}`, "shortener", "$KV.LINKS.code.x"},
		{"ingest enricher shortener email-sender kafka-bridge", "$JS.API.STREAM.INFO.KV_TEXTS", `{"subjects_filter":">"}`, "sms-sender", "$KV.TEXTS.x"},
		{"ingest enricher shortener kafka-bridge", "$JS.API.STREAM.INFO.KV_ATTEMPTS", `{"subjects_filter":">"}`, "email-sender", "$KV.ATTEMPTS.x"},
		{everybody, "$JS.API.STREAM.INFO.KV_MEMORY", `{"subjects_filter":">"}`, flow.Operator, "KV_MEMORY"},
		{"ingest enricher kafka-bridge", "$JS.API.STREAM.INFO.NOTIFY", `{"subjects_filter":">","deleted_details":true}`, "email-sender", "notify.v1.send.email"},
		{"enricher shortener sms-sender email-sender kafka-bridge", "$JS.API.STREAM.INFO.QUARANTINE", `{"subjects_filter":">"}`, "ingest", "quarantine.v1.acme"},
		{everybody, "$JS.API.STREAM.INFO.DLQ", `{"subjects_filter":">"}`, flow.Operator, "dlq.v1.enricher"},
		{"ingest", "$JS.API.STREAM.INFO.REPLAY", `{"subjects_filter":">"}`, "shortener", "replay.v1.enricher"},
		{"ingest shortener sms-sender email-sender kafka-bridge", "$JS.API.CONSUMER.INFO.SIGNING.enricher", "", "enricher", `"name":"enricher"`},
		{"ingest enricher shortener email-sender kafka-bridge", "$JS.API.CONSUMER.INFO.NOTIFY.sms-sender", "", "sms-sender", `"name":"sms-sender"`},
		{everybody, "$JS.API.STREAM.NAMES", `{"subject":"$KV.LINKS.code.x"}`, flow.Operator, `"KV_LINKS"`},
		{everybody, "$JS.API.STREAM.LIST", `{"subject":"$KV.LINKS.code.*"}`, flow.Operator, `"KV_LINKS"`},
		{everybody, "$JS.API.CONSUMER.NAMES.NOTIFY", `{"offset":0}`, flow.Operator, `"sms-sender"`},
		{everybody, "$JS.API.CONSUMER.LIST.NOTIFY", `{"offset":0}`, flow.Operator, `"sms-sender"`},
		{everybody, "$JS.API.STREAM.MSG.GET.KV_LINKS", `{"last_by_subj":"$KV.LINKS.>"}`, flow.Operator, `$KV.LINKS.code.x`},
		{everybody, "$JS.API.STREAM.MSG.GET.NOTIFY", `{"next_by_subj":"notify.v1.send.>","seq":1}`, flow.Operator, `notify.v1.send`},
		{everybody, "$JS.API.DIRECT.GET.KV_LINKS", `{"multi_last":["$KV.LINKS.>"],"batch":10}`, flow.Operator, "before"},
		{everybody, "$JS.API.DIRECT.GET.NOTIFY.notify.v1.send.>", "", flow.Operator, "before"},
		{everybody, "$JS.API.CONSUMER.CREATE.KV_LINKS.mine.$KV.LINKS.>", `{"stream_name":"KV_LINKS","config":{"name":"mine","ack_policy":"none","filter_subject":"$KV.LINKS.>"}}`, flow.Operator, `"name":"mine"`},
		{everybody, "$JS.API.CONSUMER.CREATE.KV_LINKS", `{"stream_name":"KV_LINKS","config":{"ack_policy":"none","deliver_subject":"_INBOX.mine"}}`, flow.Operator, `"config"`},
		{everybody, "$JS.API.STREAM.SNAPSHOT.KV_LINKS", `{"deliver_subject":"_INBOX.mine"}`, flow.Operator, `"state"`},
		{everybody, "$JS.API.STREAM.CREATE.COPY", `{"name":"COPY","mirror":{"name":"KV_LINKS"}}`, flow.Operator, `"config"`},
		{everybody, "$JS.API.STREAM.UPDATE.KV_LINKS", `{"name":"KV_LINKS","republish":{"src":">","dest":"_INBOX.mine.>"}}`, flow.Operator, `"error"`},
		{everybody, "$JS.API.STREAM.PURGE.KV_LINKS", `{"filter":"$KV.LINKS.code.z"}`, flow.Operator, `"success":true`},
		{"enricher shortener sms-sender email-sender ingest", "$JS.API.CONSUMER.UNPIN.SIGNING.kafka-bridge", `{"group":"active"}`, "kafka-bridge", `"type"`},
		{everybody, "$SYS.REQ.SERVER.PING.JSZ", `{"accounts":true,"streams":true,"config":true}`, "sys", `"KV_LINKS"`},
		{everybody, "$SYS.REQ.SERVER.PING.CONNZ", `{"auth":true,"subscriptions":true}`, "sys", `"shortener"`},
		{"enricher shortener sms-sender email-sender kafka-bridge", "quarantine.v1.acme.clickwrap.y", "after", "ingest", `"QUARANTINE"`},
		{"enricher shortener sms-sender email-sender kafka-bridge", "signing.v1.acme.clickwrap.recipient.signed.d1", "after", "ingest", `"SIGNING"`},
		{"ingest shortener sms-sender email-sender kafka-bridge", "notify.v1.link.acme.clickwrap.d2", "after", "enricher", `"NOTIFY"`},
		{"ingest sms-sender email-sender kafka-bridge", "notify.v1.send.sms.acme.clickwrap.d2", "after", "shortener", `"NOTIFY"`},
		{"ingest email-sender kafka-bridge", "notify.v1.send.sms.acme.clickwrap.d2.reply", "after", "sms-sender", `"NOTIFY"`},
		{"ingest enricher shortener email-sender kafka-bridge", "$KV.OPTOUTS.number.x", "{}", "sms-sender", `"KV_OPTOUTS"`},
		{"ingest enricher sms-sender email-sender kafka-bridge", "$KV.OPTOUTS.person.x", "{}", "shortener", `"KV_OPTOUTS"`},
		{"ingest enricher shortener email-sender kafka-bridge", "$KV.INBOUND.x", "{}", "sms-sender", `"KV_INBOUND"`},
		{"ingest enricher shortener email-sender kafka-bridge", "dlq.v1.sms-sender", "after", "sms-sender", `"DLQ"`},
		{everybody, "replay.v1.sms-sender.NOTIFY.1.1", "after", flow.Operator, `"REPLAY"`},
		{"ingest enricher sms-sender email-sender kafka-bridge", "$KV.LINKS.code.y", "after", "shortener", `"KV_LINKS"`},
		{"enricher shortener sms-sender email-sender kafka-bridge", "$KV.STATE.dedupe.gap", "1-2", "ingest", `"KV_STATE"`},
		// A service's entries in a bucket with several writers: floors, a sender's held messages and attempts, releases.
		{everybody, "$KV.STATE.x", "after", flow.Operator, `"KV_STATE"`},
		{"ingest shortener sms-sender email-sender kafka-bridge", "$KV.STATE.floor.enricher.SIGNING", "{}", "enricher", `"KV_STATE"`},
		{"ingest enricher shortener email-sender kafka-bridge", "$KV.ATTEMPTS.message.sms.x", "{}", "sms-sender", `"KV_ATTEMPTS"`},
		{"ingest enricher shortener sms-sender kafka-bridge", "$KV.ATTEMPTS.message.email.x", "{}", "email-sender", `"KV_ATTEMPTS"`},
		{everybody, "$KV.ATTEMPTS.release.sms", "now", flow.Operator, `"KV_ATTEMPTS"`},
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
		t.Errorf("a refused request changed something:\n%s\n%s", before, after)
	}
	for _, row := range rows {
		if output := users[row.control].request(row.subject, row.body); !strings.Contains(output, row.response) {
			t.Errorf("%s on %s: the response is %q", row.control, row.subject, output)
		}
	}

	for _, u := range flow.Users() {
		for _, subject := range []string{
			">", "signing.v1.>", "notify.v1.>", "$KV.LINKS.>", "$KV.>", "$JS.API.>", "$JS.EVENT.>", "$JS.ACK.>", "$JS.>", "$SYS.>", "$SRV.>", "_R_.>", "*.>", "signrelay.copy.>",
		} {
			if users[u.Name].maySubscribe(subject) {
				t.Errorf("%s may subscribe to %s", u.Name, subject)
			}
		}
	}
	if !operator.maySubscribe("notify.v1.>") {
		t.Error("the operator may not subscribe")
	}
}

// Of all requests to JetStream about a stream, a service may send those that its row of the map needs, and none about another service's
// streams. The table here is the rule; the permissions are generated from the map.
func TestServicesRequestOnlyTheirStreams(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	const noConsumer = "another"
	streamVerbs := []string{
		server.JSApiStreamCreateT, server.JSApiStreamUpdateT, server.JSApiStreamInfoT, server.JSApiStreamDeleteT, server.JSApiStreamPurgeT,
		server.JSApiStreamSnapshotT, server.JSApiStreamRestoreT, server.JSApiMsgDeleteT, server.JSApiMsgGetT, server.JSDirectMsgGetT,
		server.JSApiConsumerCreateT, server.JSApiConsumersT, server.JSApiConsumerListT, server.JSApiStreamRemovePeerT, server.JSApiStreamEvacuatePeerT,
		server.JSApiStreamCancelMoveT, server.JSApiStreamLeaderStepDownT,
	}
	consumerVerbs := []string{
		server.JSApiConsumerCreateExT[:len(server.JSApiConsumerCreateExT)-len(".%s")], server.JSApiDurableCreateT, server.JSApiConsumerInfoT, server.JSApiConsumerDeleteT,
		server.JSApiConsumerPauseT, server.JSApiRequestNextT, server.JSApiConsumerResetT, server.JSApiConsumerUnpinT, server.JSApiConsumerLeaderStepDownT,
		server.JSApiConsumerRemovePeerT, server.JSApiConsumerEvacuatePeerT,
	}
	var streams []string
	for _, s := range flow.Streams {
		streams = append(streams, s.Name)
	}
	for _, b := range flow.Buckets {
		streams = append(streams, "KV_"+b.Name)
	}
	consumers := []string{noConsumer}
	for _, s := range flow.Stages {
		consumers = append(consumers, s.Name)
	}

	stages := map[string]bool{} // "<stream> <consumer>"
	for _, s := range flow.Stages {
		stages[s.Stream+" "+s.Name], stages[flow.Replay+" "+s.Name] = true, true
	}
	for _, u := range flow.Users() {
		described := map[string]bool{"KV_" + flow.State: true}
		read, removes, drops := map[string]bool{}, map[string]bool{}, map[string]bool{}
		works := map[string]bool{} // "<stream> <consumer>"
		uses := func(uses flow.Uses) {
			for _, s := range uses.Streams {
				described[s], read[s] = true, true
			}
			for _, b := range uses.Buckets {
				described["KV_"+b.Bucket] = true
			}
			for _, s := range uses.Removes {
				removes[s] = true
			}
			for _, s := range uses.Drops {
				drops[s] = true
			}
		}
		unpins, watches := false, false
		for _, d := range flow.Producers {
			if d.Name == u.Name {
				uses(d.Uses)
				watches = d.Uses.Watches
			}
		}
		for _, s := range flow.Stages {
			if s.Program() == u.Name {
				uses(s.Uses)
				described[s.Stream], described[flow.Replay] = true, true
				works[s.Stream+" "+s.Name], works[flow.Replay+" "+s.Name] = true, true
				unpins = s.Ordered
			}
		}
		who := connect(t, h, u.Name)
		tried, allowed := 0, 0
		check := func(subject string, want bool) {
			tried++
			// An allowed request has no effect, because its body is not JSON.
			if may := who.may(&nats.Msg{Subject: subject, Reply: "_INBOX.x", Data: []byte("{")}); may != want {
				t.Errorf("%s may publish on %s: %v", u.Name, subject, may)
			} else if may {
				allowed++
			}
		}
		for _, stream := range streams {
			for _, verb := range streamVerbs {
				check(fmt.Sprintf(verb, stream), watches && verb == server.JSApiConsumerListT && stream == flow.Signing || verb == server.JSApiStreamInfoT && described[stream] || verb == server.JSDirectMsgGetT && read[stream] ||
					drops[stream] && verb == server.JSApiMsgDeleteT || removes[stream] && (verb == server.JSApiStreamPurgeT && strings.HasPrefix(stream, "KV_") || verb == server.JSApiMsgDeleteT && !strings.HasPrefix(stream, "KV_")))
			}
			for _, consumer := range consumers {
				for _, verb := range consumerVerbs {
					own := works[stream+" "+consumer]
					check(fmt.Sprintf(verb, stream, consumer), own && (verb == server.JSApiConsumerInfoT || verb == server.JSApiRequestNextT ||
						verb == server.JSApiConsumerUnpinT && unpins && stream == flow.Signing) ||
						watches && verb == server.JSApiConsumerInfoT && stages[stream+" "+consumer] ||
						len(removes) > 0 && verb == server.JSApiConsumerInfoT && stream == flow.Signing && consumer == flow.Enricher)
				}
			}
		}
		for _, subject := range []string{
			server.JSApiStreams, server.JSApiStreamList, server.JSApiLeaderStepDown, server.JSApiRemoveServer, server.JSApiEvacuateServer, server.JSApiMetaRescue,
			fmt.Sprintf(server.JSApiAccountPurgeT, "SIGNRELAY"), fmt.Sprintf(server.JSApiServerStreamMoveT, "SIGNRELAY", flow.Signing),
			"$SYS.REQ.ACCOUNT.SIGNRELAY.JSZ", "$SYS.REQ.SERVER.PING.SUBSZ", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.RELOAD",
		} {
			check(subject, false)
		}
		if tried < 500 || allowed < 3 {
			t.Errorf("%s: tried %d, allowed %d", u.Name, tried, allowed)
		}
	}
}

// world is everything that the server reports about streams and consumers, except the time.
func world(operator user) string {
	var b strings.Builder
	for s := range operator.js.ListStreams(operator.Context()).Info() {
		fmt.Fprintln(&b, s.Config.Name, s.Config.MaxAge, s.State.Msgs, s.State.LastSeq, s.State.Consumers)
		stream, err := operator.js.Stream(operator.Context(), s.Config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // removed a moment ago
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
