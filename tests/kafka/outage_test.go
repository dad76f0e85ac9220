package kafka_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// While the broker is stopped, a backlog of 200 MB stays in the log, and the bridge's memory does not grow.
func TestLongOutageUsesNoMemory(t *testing.T) {
	t.Parallel()
	const (
		many  = 200_000
		grown = 64 << 20 // bytes
	)
	broker := newBroker(t)
	reader := newTeam(t, broker, topic)
	reader.counts = true
	b := on(t, broker, testenv.LazySync, reader, ", create_topic: true")
	b.size = 1000
	p := b.StartService(t, "kafka-bridge", "bridge")
	b.publish(5000, 97)
	b.untilRead(5000)
	before := testenv.Memory(t, p.PID())

	broker.stop()
	b.publish(many, 97)
	b.Until(t, "the lag is reported", func() bool { return metric(t, p, "signrelay_kafka_lag_events") >= many })
	b.Until(t, "it is not ready", func() bool { return b.Ready(t, "bridge") != http.StatusOK })
	b.Until(t, "it does not report itself as active", func() bool { return metric(t, p, "signrelay_kafka_active_replicas") == 0 })
	most := testenv.Memory(t, p.PID())
	broker.start()
	b.Until(t, "the team has read everything", func() bool {
		most = max(most, testenv.Memory(t, p.PID()))
		return b.team.distinct() == b.published
	})
	b.inOrder()
	b.Until(t, "it reports no lag", func() bool { return metric(t, p, "signrelay_kafka_lag_events") == 0 })
	t.Logf("resident memory: %d MB before, %d MB at most", before>>20, most>>20)
	if most-before > grown {
		t.Errorf("it grew by %d MB with a backlog of %d MB", (most-before)>>20, int64(many)*int64(b.size)>>20)
	}
}

// The bridge dies after Kafka has acknowledged a window and before NATS gets the ack: it writes only that window again, with the same
// ids.
func TestCrashAfterWriteRepeatsOneWindow(t *testing.T) {
	t.Parallel()
	window := flow.StageNamed(flow.KafkaBridge).Workers / 2 // the other half is taken while it is written
	broker := sharedBroker(t)
	b := setup(t, broker, ", create_topic: true")
	b.Variant = testenv.Variant{Name: "faults", Args: []string{"-tags", "faults"}}
	b.publish(10*window, 7)
	p := b.LaunchService(t, "kafka-bridge", "dies", "SIGNRELAY_TEST_CRASH=written@3")
	<-p.Ended()
	b.untilRead(2*window + 1) // it had written more than it had acked
	b.StartService(t, "kafka-bridge", "bridge")
	b.untilRead(b.published)
	b.untilNothingIsLeft(broker)

	again := b.inOrder()
	if len(again) == 0 || len(again) > window {
		t.Errorf("%d events were written more than once, want 1 to %d", len(again), window)
	}
	for id, times := range again {
		if number, _ := strconv.Atoi(strings.TrimPrefix(id, "event-")); times != 2 || number < 2*window || number >= 3*window {
			t.Errorf("%s came %d times", id, times)
		}
	}
}

// With a quota, the broker leaves requests unread for longer than the bridge's timeout. The bridge sends fewer requests, and no record is
// written twice.
func TestQuotaCausesNoRepetition(t *testing.T) {
	t.Parallel()
	s := sharedSecured(t)
	admin, err := sarama.NewClusterAdmin([]string{s.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	// The quota is for a user of this test, because the other tests' bridges have the same client id.
	const user = "limited"
	if _, err := admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{
		{Name: user, Mechanism: sarama.SCRAM_MECHANISM_SHA_512, Iterations: 4096, Salt: []byte("a salt of the test"), Password: []byte(password)},
	}); err != nil {
		t.Fatal(err)
	}
	if err := admin.AlterClientQuotas(
		[]sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Name: user}},
		sarama.ClientQuotasOp{Key: "producer_byte_rate", Value: 20_000}, false,
	); err != nil {
		t.Fatal(err)
	}
	b := s.at(t, s.login, s.topic, "  tls:\n    enabled: true\n    ca: "+indented(s.ca)+"  sasl: {mechanism: scram-sha-512, user: "+user+", password: "+password+"}\n")
	b.size = 1000
	b.publish(600, 7)
	p := b.StartService(t, "kafka-bridge", "bridge")
	b.untilRead(b.published)
	b.untilNothingIsLeft(s.broker)
	if again := b.inOrder(); len(again) > 0 {
		t.Errorf("%d events were written again", len(again))
	}
	if metric(t, p, "signrelay_kafka_throttled_seconds_total") == 0 {
		t.Error("the quota had no effect, so the test proves nothing")
	}
}

func TestStandaloneWritesStoryToKafka(t *testing.T) {
	t.Parallel()
	broker := sharedBroker(t)
	h := testenv.Standalone(t, "SIGNRELAY_KAFKA_BROKERS="+broker.addr, "SIGNRELAY_KAFKA_TOPIC="+broker.topic, "SIGNRELAY_KAFKA_CREATE_TOPIC=true", "SIGNRELAY_KAFKA_REPLICATION_FACTOR=1")
	b := &bridged{Env: h, t: t, team: newTeam(t, broker, broker.topic)}
	document := h.Play(t, "clickwrap", "one-signer")[0]
	h.WaitIdle(t)
	timeline, err := h.Command(t, "timeline", document, "--json")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(timeline), "\n")
	if len(lines) < 4 {
		t.Fatalf("a short timeline:\n%s", timeline)
	}
	for _, line := range lines {
		e := new(signingv1.SigningEvent)
		if err := protojson.Unmarshal([]byte(line), e); err != nil {
			t.Fatal(err)
		}
		b.Until(t, e.GetType()+" is in Kafka", func() bool {
			b.team.mu.Lock()
			defer b.team.mu.Unlock()
			return b.team.times[e.GetId()] > 0
		})
	}
	for _, e := range b.team.once(t) {
		if e.Subject() != document {
			t.Errorf("%s is of document %q", e.ID(), e.Subject())
		}
	}
}

// untilNothingIsLeft waits until the bridge has acked everything and the team has read everything.
func (b *bridged) untilNothingIsLeft(broker *broker) {
	b.t.Helper()
	b.Until(b.t, "the bridge has acked everything", func() bool {
		c, err := b.JetStream(b.t).Consumer(b.t.Context(), flow.Signing, flow.KafkaBridge)
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
	client, err := sarama.NewClient([]string{broker.addr}, settings())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	partitions, err := client.Partitions(broker.topic)
	if err != nil {
		b.t.Fatal(err)
	}
	records := 0
	for _, p := range partitions {
		end, err := client.GetOffset(broker.topic, p, sarama.OffsetNewest)
		if err != nil {
			b.t.Fatal(err)
		}
		records += int(end)
	}
	b.Until(b.t, fmt.Sprintf("the team has read %d records", records), func() bool {
		b.team.mu.Lock()
		defer b.team.mu.Unlock()
		return len(b.team.read) >= records
	})
}

// metric returns the value of a process's metric, summed over its labels.
func metric(t *testing.T, p *testenv.Process, name string) float64 {
	t.Helper()
	resp, err := http.Get(p.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*\})? (\S+)$`).FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}
