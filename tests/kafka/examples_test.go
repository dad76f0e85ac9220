package kafka_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/examples"
)

// reading is a broker with the log's events, and an example that reads them as a consumer group.
type reading struct {
	*bridged
	broker   *broker
	language string

	signatures int
	want       []string
}

// signed stores this number of signatures, each followed by an event of another type, and waits until they are in the topic.
func (r *reading) signed(t *testing.T, count int) {
	t.Helper()
	for range count {
		s := examples.Signature(r.signatures)
		r.store(t, s)
		r.store(t, anEvent(r.signatures, s.GetDocument().GetId()))
		r.want = append(r.want, examples.Line(s))
		r.signatures++
	}
	r.untilRead(2 * r.signatures)
}

func (r *reading) store(t *testing.T, e *signingv1.SigningEvent) {
	t.Helper()
	m, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.JetStream(t).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func (r *reading) environment() []string {
	return []string{"KAFKA_BROKERS=" + r.broker.addr, "KAFKA_GROUP=" + r.group(), "KAFKA_TOPIC=" + r.broker.topic}
}

// group is the consumer group of the example.
func (r *reading) group() string { return r.language + "-" + r.broker.topic }

func (r *reading) start(t *testing.T) *examples.Subscriber {
	t.Helper()
	return examples.Start(t, r.language, "kafka", r.environment()...)
}

// untilDone waits until the group has committed all records.
func (r *reading) untilDone(t *testing.T) {
	t.Helper()
	client, err := sarama.NewClient([]string{r.broker.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := client.Partitions(r.broker.topic)
	if err != nil {
		t.Fatal(err)
	}
	r.Until(t, "the group has committed all", func() bool {
		committed, err := admin.ListConsumerGroupOffsets(r.group(), map[string][]int32{r.broker.topic: partitions})
		if err != nil {
			return false
		}
		for _, p := range partitions {
			end, err := client.GetOffset(r.broker.topic, p, sarama.OffsetNewest)
			if block := committed.GetBlock(r.broker.topic, p); err != nil || block == nil || max(block.Offset, 0) != end {
				return false
			}
		}
		return true
	})
}

func (r *reading) check(t *testing.T, printed []string) {
	t.Helper()
	want := slices.Sorted(slices.Values(r.want))
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(printed))); diff != "" {
		t.Fatalf("printed (-want +got):\n%s", diff)
	}
}

func TestKafkaExamplesPrintEverySignatureOnce(t *testing.T) {
	t.Parallel()
	restart := newRestart(newBroker(t), len(examples.Languages))
	for _, language := range examples.Languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			arrive := sync.OnceFunc(restart.arrive)
			defer arrive() // also if the test fails before the restart
			if language == "python" {
				examples.Python(t) // skips if it is missing
			}
			broker := restart.of(language)
			r := &reading{bridged: setup(t, broker, ", create_topic: true"), broker: broker, language: language}
			r.StartService(t, "kafka-bridge", "bridge")

			r.signed(t, 50)
			s := r.start(t)
			r.untilDone(t)
			printed := s.Stop()
			r.check(t, printed)

			// Events are written while the example is stopped; after a restart it continues at its position.
			r.signed(t, 50)
			s = r.start(t)
			r.untilDone(t)
			printed = append(printed, s.Kill()...)
			r.check(t, printed)

			// It prints a repeated record only once, even if the broker was stopped in between.
			s = r.start(t)
			r.signed(t, 50)
			r.untilDone(t)
			arrive()
			restart.await(t)
			r.repeat(t)
			r.untilDone(t)
			printed = append(printed, s.Stop()...)
			r.check(t, printed)

			// An example that is killed during its work has not committed the events, so it gets them again.
			r.signed(t, 1000)
			s = examples.StartUnread(t, language, "kafka", r.environment()...)
			r.Until(t, "it is blocked during its work", s.Stuck)
			part := s.Kill()
			if len(part) == 0 || len(part) == 1000 {
				t.Fatalf("it had printed %d of 1000 when it was killed", len(part))
			}
			s = r.start(t)
			r.untilDone(t)
			part = append(part, s.Stop()...)
			slices.Sort(part)
			again := len(part)
			part = slices.Compact(part)
			if again -= len(part); again > 3 { // one per partition
				t.Errorf("%d events were delivered again", again)
			}
			r.check(t, append(printed, part...))
		})
	}
}

// restart stops and starts a broker once for several tests at the same time: each start takes 3 s of CPU.
type restart struct {
	broker  *broker
	waiting sync.WaitGroup // for the tests that still work
	again   func() error
}

func newRestart(b *broker, tests int) *restart {
	r := &restart{broker: b, again: sync.OnceValue(func() error {
		b.stop()
		return b.run()
	})}
	r.waiting.Add(tests)
	return r
}

// of returns the broker with a topic of the language.
func (r *restart) of(language string) *broker {
	own := *r.broker
	own.topic += "." + language
	return &own
}

// arrive reports that a test has come to the restart. Each test calls it once.
func (r *restart) arrive() { r.waiting.Done() }

// await waits until all tests have arrived and the broker has been restarted.
func (r *restart) await(t *testing.T) {
	t.Helper()
	r.waiting.Wait()
	if err := r.again(); err != nil {
		t.Fatal(err)
	}
}

// repeat writes the records of the last fifty signatures again, as the bridge does after a crash.
func (r *reading) repeat(t *testing.T) {
	t.Helper()
	s := settings()
	s.Producer.Return.Successes = true
	s.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{r.broker.addr}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	r.team.mu.Lock()
	read := r.team.read[len(r.team.read)-100:]
	r.team.mu.Unlock()
	for _, m := range read {
		again := &sarama.ProducerMessage{Topic: m.Topic, Partition: m.Partition, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
		for _, h := range m.Headers {
			again.Headers = append(again.Headers, *h)
		}
		if _, _, err := producer.SendMessage(again); err != nil {
			t.Fatal(err)
		}
	}
}
