// Package kafka_test carries the log onto a Kafka broker with the program that operators run, and reads it as another
// team does: with a consumer group of another client, and the CloudEvents SDK.
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

const topic = "signrelay.signing.v1"

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// bridged is a log without services, a broker, and what a team has read from it.
type bridged struct {
	*testenv.Env
	t         testing.TB
	team      *team
	published int
	size      int // of an event's text, in bytes
}

// setup makes the log, and a team that reads the topic.
func setup(t *testing.T, b *broker, more string) *bridged {
	t.Helper()
	return on(t, b, testenv.Parts, newTeam(t, b, topic), more)
}

// on makes the log of a house. Leases are short, so that nobody waits half a minute for a dead replica's work.
func on(t *testing.T, b *broker, kind func(testing.TB, func(*testenv.Env) string) *testenv.Env, reader *team, more string) *bridged {
	t.Helper()
	h := kind(t, func(*testenv.Env) string {
		return fmt.Sprintf("kafka: {brokers: [%q], replication_factor: 1, partitions: 3%s}\n", b.addr, more)
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
	h.Timeout = 2 * time.Minute
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

// stored waits until the log has what was published.
func (b *bridged) stored(js jetstream.JetStream) {
	b.t.Helper()
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(30 * time.Second):
		b.t.Fatal("the log does not take events")
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

// team is a consumer group that reads the topic to its end, through every outage.
type team struct {
	mu       sync.Mutex
	read     []*sarama.ConsumerMessage // each partition's in order; none where it only counts
	times    map[string]int            // by id, how often it came
	last     map[string]string         // by document, the last event that came the first time
	disorder []string
	counts   bool // it does not keep what it reads
}

func newTeam(t *testing.T, b *broker, topic string) *team {
	t.Helper()
	s := settings()
	s.Metadata.Retry.Max = 100
	group, err := sarama.NewConsumerGroup([]string{b.addr}, "team", s)
	if err != nil {
		t.Fatal(err)
	}
	reader := &team{times: map[string]int{}, last: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{topic}, reader); err != nil {
				select { // the broker is away, or the topic is not there yet
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
		r.disorder = append(r.disorder, fmt.Sprintf("%s: %s came after %s", document, id, before))
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

// once is what the team has read, each id the first time.
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

// distinct is how many events the team has read.
func (r *team) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// inOrder wants that the team has read all that was published, each document's events in order, and returns those that
// came more than once.
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

	// Whoever works is killed while it writes and the broker is killed too; the other one goes on when the broker is back.
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

	// The broker is away and back, and whoever works is killed while it is away.
	b.StartService(t, "kafka-bridge", "three")
	broker.kill()
	b.publish(1000, 7)
	b.Processes[left].Kill()
	broker.start()
	b.untilRead(6000)

	// Whoever works hangs with events in hand, and comes to itself when another has taken its work.
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

// during does two things at once: the second as soon as the team has read so many events.
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

// working tells whether the server lets a replica work, as it last said.
func (b *bridged) working(name string) bool {
	said := b.Processes[name].Output()
	return strings.LastIndex(said, `"active":true`) > strings.LastIndex(said, `"active":false`)
}

func TestAnEventLargerThanTheBrokerTakesIsBuried(t *testing.T) {
	t.Parallel()
	broker := newBroker(t)
	limit := "4000"
	broker.makeTopic(topic, map[string]*string{"max.message.bytes": &limit})
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
		want := fmt.Sprintf("event-%06d", n+n/30) // all but the one in the middle
		if e.ID() != want {
			t.Errorf("%s in place %d, want %s", e.ID(), n, want)
		}
	}
	said, err := b.Command(t, "dlq", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "message-too-large") || !strings.Contains(said, `"sequence":31,`) {
		t.Errorf("dlq list:\n%s", said)
	}
}

func TestTheBridgeMakesTheTopicAndWritesJSON(t *testing.T) {
	t.Parallel()
	broker := newBroker(t)
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
	about, err := admin.DescribeTopics([]string{topic})
	if err != nil || len(about[0].Partitions) != 3 {
		t.Errorf("partitions: %v %v", about, err)
	}
	kept, err := admin.DescribeConfigs(
		[]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}}, sarama.DescribeConfigsOptions{})
	if err != nil || len(kept) != 1 || len(kept[0].Configs) != 1 || kept[0].Configs[0].Value != "7776000000" {
		t.Errorf("retention: %+v %v, want the log's 90 days", kept, err)
	}
}
