// Package kafka_test writes the log to a Kafka broker with the released program, and reads it as another team does: with a consumer group
// of another client, and with the CloudEvents SDK.
package kafka_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	cekafka "github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// topic is the default topic of the settings. Tests on the shared broker have topics of their own.
const topic = "signrelay.signing.v1"

func TestMain(m *testing.M) {
	status := m.Run()
	stopShared()
	testenv.Cleanup()
	os.Exit(status)
}

// bridged is a log without services, a broker, and the records that a team has read from it.
type bridged struct {
	*testenv.Env
	t         testing.TB
	team      *team
	published int
	size      int // of an event's text, in bytes
}

// setup creates the log, and a team that reads the topic.
func setup(t *testing.T, b *broker, more string) *bridged {
	t.Helper()
	return on(t, b, testenv.Infrastructure, newTeam(t, b, b.topic), more)
}

// on creates the log of an environment. Leases are short, so that another replica takes over a dead replica's work without half a minute of delay.
func on(t *testing.T, b *broker, kind func(testing.TB, func(*testenv.Env) string) *testenv.Env, reader *team, more string) *bridged {
	t.Helper()
	h := kind(t, func(*testenv.Env) string {
		return fmt.Sprintf("kafka: {brokers: [%q], topic: %s, replication_factor: 1, partitions: 3%s}\n", b.addr, b.topic, more)
	})
	c, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	is := c.CachedInfo().Config
	is.AckWait, is.PinnedTTL = 3*time.Second, 1500*time.Millisecond
	if _, err := h.JetStream(t).UpdateConsumer(t.Context(), flow.Signing, is); err != nil {
		t.Fatal(err)
	}
	return &bridged{Env: h, t: t, team: reader, size: len("small")}
}

func (b *bridged) publish(count, documents int) {
	b.t.Helper()
	js := b.JetStream(b.t)
	for range count {
		e := anEvent(b.published, fmt.Sprintf("document-%d", b.published%documents))
		e.Attributes = map[string]string{"render_data.text": strings.Repeat("x", b.size)}
		m, err := event.Message(b.t.Context(), e)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.t.Fatal(err)
		}
		if b.published++; b.published%500 == 0 {
			b.stored(js)
		}
	}
	b.stored(js)
}

// stored waits until the published events are in the log.
func (b *bridged) stored(js jetstream.JetStream) {
	b.t.Helper()
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(2 * time.Minute):
		b.t.Fatal("the log did not store the events")
	}
}

func anEvent(n int, document string) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: fmt.Sprintf("event-%06d", n), Source: "acme", Provider: "clickwrap", Type: "recipient.opened",
		Document: &signingv1.Document{Id: document}, OccurredAt: timestamppb.New(time.Unix(1_700_000_000+int64(n), 0)),
	}
}

func (b *bridged) untilRead(count int) {
	b.t.Helper()
	b.Until(b.t, fmt.Sprintf("the team has read %d events", count), func() bool { return b.team.distinct() >= count })
}

// team is a consumer group that reads the topic to its end, in spite of outages.
type team struct {
	mu       sync.Mutex
	read     []*sarama.ConsumerMessage // each partition's in order; empty if counts is set
	times    map[string]int            // the count of each id
	last     map[string]string         // the last new event of each document
	disorder []string
	counts   bool // it does not keep the records
}

func newTeam(t *testing.T, b *broker, topic string) *team {
	t.Helper()
	s := settings()
	s.Metadata.Retry.Max = 100
	group, err := sarama.NewConsumerGroup([]string{b.addr}, "team-"+topic, s)
	if err != nil {
		t.Fatal(err)
	}
	reader := &team{times: map[string]int{}, last: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{topic}, reader); err != nil {
				select { // the broker is stopped, or the topic does not exist yet
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = group.Close()
		done.Wait()
	})
	return reader
}

func (*team) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*team) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r *team) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		r.take(m)
		session.MarkMessage(m, "")
	}
	return nil
}

func (r *team) take(m *sarama.ConsumerMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.counts {
		r.read = append(r.read, m)
	}
	id, document := id(m), string(m.Key)
	if r.times[id]++; r.times[id] > 1 {
		return
	}
	if before := r.last[document]; before >= id {
		r.disorder = append(r.disorder, fmt.Sprintf("%s: %s was read after %s", document, id, before))
	}
	r.last[document] = id
}

func id(m *sarama.ConsumerMessage) string {
	for _, h := range m.Headers {
		if string(h.Key) == "ce_id" {
			return string(h.Value)
		}
	}
	return ""
}

// once returns the events that the team has read, without repetitions.
func (r *team) once(t *testing.T) []cloudevents.Event {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []cloudevents.Event
	seen := map[string]bool{}
	for _, m := range r.read {
		message := cekafka.NewMessageFromConsumerMessage(m)
		if message.ReadEncoding() != binding.EncodingBinary {
			t.Fatalf("encoding %v, want binary", message.ReadEncoding())
		}
		e, err := binding.ToEvent(context.Background(), message)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
		if string(m.Key) != e.Subject() {
			t.Errorf("key %q of document %q", m.Key, e.Subject())
		}
		if !seen[e.ID()] {
			seen[e.ID()] = true
			events = append(events, *e)
		}
	}
	return events
}

// distinct returns the number of different events that the team has read.
func (r *team) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// inOrder requires that the team has read every published event, each document's events in order. It returns the events that were read more than once.
func (b *bridged) inOrder() (again map[string]int) {
	b.t.Helper()
	b.team.mu.Lock()
	defer b.team.mu.Unlock()
	for _, complaint := range b.team.disorder {
		b.t.Error(complaint)
	}
	if len(b.team.times) != b.published {
		b.t.Errorf("%d events, want %d", len(b.team.times), b.published)
	}
	again = map[string]int{}
	for id, times := range b.team.times {
		if times > 1 {
			again[id] = times
		}
	}
	b.t.Logf("%d events, %d of them more than once", len(b.team.times), len(again))
	return again
}

func TestEveryEventInOrderThroughRestartsAndKills(t *testing.T) {
	t.Parallel()
	broker := newBroker(t)
	b := setup(t, broker, ", create_topic: true")
	b.StartService(t, "kafka-bridge", "one")
	b.StartService(t, "kafka-bridge", "two")
	b.publish(1000, 7)
	b.untilRead(1000)

	// The active replica is killed while it writes, and so is the broker. The other replica continues when the broker is back.
	working, left := "one", "two"
	if !b.working("one") {
		working, left = left, working
	}
	b.during(func() {
		b.publish(4000, 7)
	}, 1500, func() {
		b.Processes[working].Kill()
		broker.kill()
		broker.start()
	})
	b.untilRead(5000)

	// The broker is stopped and started, and the active replica is killed meanwhile.
	b.StartService(t, "kafka-bridge", "three")
	broker.kill()
	b.publish(1000, 7)
	b.Processes[left].Kill()
	broker.start()
	b.untilRead(6000)

	// The active replica hangs during a write, and continues after another replica has taken over.
	b.StartService(t, "kafka-bridge", "four")
	hangs := "three"
	if b.working("four") {
		hangs = "four"
	}
	b.during(func() { b.publish(4000, 7) }, 6500, func() { b.signal(hangs, syscall.SIGSTOP) })
	b.untilRead(b.published)
	b.signal(hangs, syscall.SIGCONT)
	b.publish(1000, 7)
	b.untilRead(b.published)
	for _, name := range []string{"three", "four"} {
		if status := b.Processes[name].Stop(); status != 0 {
			t.Errorf("%s ended with status %d", name, status)
		}
	}
	b.inOrder()
}

// during runs two functions at the same time: the second starts as soon as the team has read this number of events.
func (b *bridged) during(first func(), count int, second func()) {
	b.t.Helper()
	var done sync.WaitGroup
	done.Go(func() {
		for b.team.distinct() < count && b.t.Context().Err() == nil {
			runtime.Gosched()
		}
		second()
	})
	first()
	done.Wait()
}

func (b *bridged) signal(process string, s syscall.Signal) {
	b.t.Helper()
	if err := syscall.Kill(b.Processes[process].PID(), s); err != nil {
		b.t.Error(err)
	}
}

// working reports whether the replica is active, according to its last log line.
func (b *bridged) working(name string) bool {
	output := b.Processes[name].Output()
	return strings.LastIndex(output, `"active":true`) > strings.LastIndex(output, `"active":false`)
}

func TestTooLargeEventBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	broker := sharedBroker(t)
	limit := "4000"
	broker.makeTopic(map[string]*string{"max.message.bytes": &limit})
	b := setup(t, broker, "")
	b.publish(30, 1) // together more than the limit
	large := anEvent(30, "document-0")
	large.Attributes = map[string]string{"render_data.text": strings.Repeat("x", 5000)}
	m, err := event.Message(t.Context(), large)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream(t).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.published = 31
	b.publish(30, 1)
	b.StartService(t, "kafka-bridge", "bridge")
	b.untilRead(60)
	for n, e := range b.team.once(t) {
		want := fmt.Sprintf("event-%06d", n+n/30) // all but the large one in the middle
		if e.ID() != want {
			t.Errorf("%s in place %d, want %s", e.ID(), n, want)
		}
	}
	output, err := b.Command(t, "dlq", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(output, "\n") != 1 || !strings.Contains(output, "message-too-large") || !strings.Contains(output, `"sequence":31,`) {
		t.Errorf("dlq list:\n%s", output)
	}
}

func TestBridgeCreatesTopicAndWritesJSON(t *testing.T) {
	t.Parallel()
	broker := sharedBroker(t)
	b := setup(t, broker, ", create_topic: true, format: json")
	b.publish(1, 1)
	b.StartService(t, "kafka-bridge", "bridge")
	b.untilRead(1)
	e := b.team.once(t)[0]
	for name, pair := range map[string][2]string{
		"specversion":     {e.SpecVersion(), "1.0"},
		"id":              {e.ID(), "event-000000"},
		"source":          {e.Source(), "/signrelay/acme/clickwrap"},
		"type":            {e.Type(), "signrelay.recipient.opened.v1"},
		"subject":         {e.Subject(), "document-0"},
		"time":            {e.Time().UTC().Format(time.RFC3339Nano), "2023-11-14T22:13:20Z"},
		"datacontenttype": {e.DataContentType(), "application/json"},
		"dataschema":      {e.DataSchema(), event.DataSchema},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s %q, want %q", name, pair[0], pair[1])
		}
	}
	read := new(signingv1.SigningEvent)
	if err := protojson.Unmarshal(e.Data(), read); err != nil || read.GetDocument().GetId() != "document-0" || !json.Valid(e.Data()) {
		t.Errorf("read %v: %v", read, err)
	}

	admin, err := sarama.NewClusterAdmin([]string{broker.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	about, err := admin.DescribeTopics([]string{broker.topic})
	if err != nil || len(about[0].Partitions) != 3 {
		t.Errorf("partitions: %v %v", about, err)
	}
	kept, err := admin.DescribeConfigs(
		[]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: broker.topic, ConfigNames: []string{"retention.ms"}}}, sarama.DescribeConfigsOptions{})
	if err != nil || len(kept) != 1 || len(kept[0].Configs) != 1 || kept[0].Configs[0].Value != "7776000000" {
		t.Errorf("retention: %+v %v, want the log's 90 days", kept, err)
	}
}
