package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	benched    = 50_000 // events of 1 KiB, of 997 documents
	rounds     = 3
	partitions = 12 // the default of the settings
)

// BenchmarkBridge measures the rate at which the bridge writes a backlog, and the CPU that each process uses for an event, with a Kafka
// broker and with a protocol server in this process, which shows the floor without the broker. By turns, in the same run, it measures the
// bridge with one partition (a single lane), the log's side alone (inputs are taken and acked, and written nowhere) and Kafka's side alone
// (a client writes the same records in windows of the same size).
func BenchmarkBridge(b *testing.B) {
	for name, start := range map[string]func(testing.TB) *broker{
		"broker": newBroker,
		"protocol-server": func(t testing.TB) *broker {
			s := newStandIn(t, t.TempDir())
			t.Cleanup(s.stop)
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			l := newBacklog(b, start(b))
			rates := map[string]float64{}
			for b.Loop() {
				for round := range rounds {
					for name, measure := range l.measurements() {
						l.topics++
						rate, cpu := measure(b, fmt.Sprintf("copy-%d", l.topics))
						rates[name] += rate / rounds
						b.Logf("round %d: %-13s %6.0f events/s; CPU an event: itself %v, NATS %v, Kafka %v", round, name, rate, cpu[0], cpu[1], cpu[2])
					}
				}
			}
			for name, rate := range rates {
				b.ReportMetric(rate, name+"/s")
				b.ReportMetric(rate/rates["one-partition"], name+"-of-one-partition")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// backlog is a log of events that each measurement copies.
type backlog struct {
	*testenv.Env
	broker   *broker
	js       jetstream.JetStream
	consumer jetstream.ConsumerConfig
	topics   int
}

func newBacklog(b *testing.B, broker *broker) *backlog {
	b.Helper()
	h := testenv.LazySync(b, func(*testenv.Env) string {
		return fmt.Sprintf("kafka: {brokers: [%q], replication_factor: 1, create_topic: true}\n", broker.addr)
	})
	h.Timeout = 5 * time.Minute
	(&bridged{Env: h, t: b, size: 900}).publish(benched, 997)
	l := &backlog{Env: h, broker: broker, js: h.JetStream(b)}
	c, err := l.js.Consumer(b.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		b.Fatal(err)
	}
	l.consumer = c.CachedInfo().Config
	return l
}

// measurement copies the backlog to a new topic, and returns the events per second and the CPU of each process for an event.
type measurement func(b *testing.B, topic string) (rate float64, cpu []time.Duration)

func (l *backlog) measurements() map[string]measurement {
	return map[string]measurement{
		"bridge":        func(b *testing.B, topic string) (float64, []time.Duration) { return l.bridge(b, topic, partitions) },
		"one-partition": func(b *testing.B, topic string) (float64, []time.Duration) { return l.bridge(b, topic, 1) },
		"log-alone":     l.logAlone,
		"kafka-alone":   l.kafkaAlone,
	}
}

func (l *backlog) bridge(b *testing.B, topic string, partitions int) (float64, []time.Duration) {
	b.Helper()
	left := l.fromBeginning(b)
	p := l.StartService(b, "kafka-bridge", topic, "SIGNRELAY_KAFKA_TOPIC="+topic, fmt.Sprintf("SIGNRELAY_KAFKA_PARTITIONS=%d", partitions))
	defer p.Stop()
	return l.drained(b, p.PID(), left)
}

// logAlone takes and acks the events as the bridge does, in this process, and writes them nowhere.
func (l *backlog) logAlone(b *testing.B, _ string) (float64, []time.Duration) {
	b.Helper()
	left := l.fromBeginning(b)
	r := stage.Ordered[struct{}]{
		Stage: flow.StageNamed(flow.KafkaBridge), JS: l.js, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Observer: unobserved{},
		Decode:   func(stage.Input) (struct{}, error) { return struct{}{}, nil },
		Reach:    func(context.Context) error { return nil },
		Lanes:    func(context.Context) (func(struct{}) int, error) { return func(struct{}) int { return 0 }, nil },
		Write:    func(_ context.Context, _ int, inputs []struct{}) (int, error) { return len(inputs), nil },
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	rate, cpu := l.drained(b, os.Getpid(), left)
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return rate, cpu
}

// unobserved ignores the events of an ordered stage.
type unobserved struct{}

func (unobserved) Failed(context.Context, error)              {}
func (unobserved) Passed(context.Context)                     {}
func (unobserved) Active(bool)                                {}
func (unobserved) Waiting(int)                                {}
func (unobserved) Dropped(string)                             {}
func (unobserved) Window(context.Context, int, time.Duration) {}

// kafkaAlone writes as many records with the bridge's client, in windows of the same size.
func (l *backlog) kafkaAlone(b *testing.B, topic string) (float64, []time.Duration) {
	b.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(l.broker.addr), Transport: transport, Timeout: 10 * time.Second}
	if _, err := client.CreateTopics(b.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}}}); err != nil {
		b.Fatal(err)
	}
	e := anEvent(0, "document-0")
	e.Attributes = map[string]string{"render_data.text": strings.Repeat("x", 900)}
	value, err := proto.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	batch := flow.StageNamed(flow.KafkaBridge).Workers / 2 / partitions
	write := func(partition int) error {
		records := make([]kafka.Record, batch)
		for n := range records {
			records[n] = kafka.Record{Key: kafka.NewBytes([]byte("document-0")), Value: kafka.NewBytes(value), Time: time.Now()}
		}
		response, err := client.Produce(b.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = response.Error
		}
		return err
	}
	for partition := range partitions { // a new topic has no leaders for a moment
		l.Until(b, "the partition has a leader", func() bool { return write(partition) == nil })
	}
	used := l.usage(b, os.Getpid())
	began, windows := time.Now(), benched/batch/partitions
	for range windows {
		var all sync.WaitGroup
		for partition := range partitions {
			all.Go(func() {
				if err := write(partition); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
	events := windows * batch * partitions
	return float64(events) / time.Since(began).Seconds(), used(events)
}

// fromBeginning gives the bridge the whole log again, and returns a function that counts the events that it has not acked.
func (l *backlog) fromBeginning(b *testing.B) (left func() int) {
	b.Helper()
	if err := l.js.DeleteConsumer(b.Context(), flow.Signing, flow.KafkaBridge); err != nil {
		b.Fatal(err)
	}
	c, err := l.js.CreateConsumer(b.Context(), flow.Signing, l.consumer)
	if err != nil {
		b.Fatal(err)
	}
	return func() int {
		is, err := c.Info(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return int(is.NumPending) + is.NumAckPending
	}
}

// drained measures a process from the first events that it has acked to the last.
func (l *backlog) drained(b *testing.B, pid int, left func() int) (rate float64, cpu []time.Duration) {
	b.Helper()
	l.Until(b, "the first events are acked", func() bool { return left() < benched })
	events, began, used := left(), time.Now(), l.usage(b, pid)
	l.Until(b, "all events are acked", func() bool { return left() == 0 })
	return float64(events) / time.Since(began).Seconds(), used(events)
}

// usage returns a function that returns the CPU that a process, NATS and Kafka have used since then for each of some events.
func (l *backlog) usage(b *testing.B, pid int) func(events int) []time.Duration {
	b.Helper()
	pids := []int{pid, l.Processes["nats"].PID(), l.broker.pid()}
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = testenv.CPU(b, pid)
	}
	return func(events int) []time.Duration {
		each := make([]time.Duration, len(pids))
		for i, pid := range pids {
			each[i] = (testenv.CPU(b, pid) - before[i]) / time.Duration(max(events, 1))
		}
		return each
	}
}

// BenchmarkBridgeTakeover measures how long the events of a killed bridge wait: of two replicas the active one is killed while it writes, and
// the time runs until the other has settled all events. The leases are those of provisioning.
func BenchmarkBridgeTakeover(b *testing.B) {
	const kills = 10
	broker := newBroker(b)
	h := testenv.LazySync(b, func(*testenv.Env) string {
		return fmt.Sprintf("kafka: {brokers: [%q], replication_factor: 1, create_topic: true}\n", broker.addr)
	})
	log := &bridged{Env: h, t: b, size: 900}
	c, err := h.JetStream(b).Consumer(b.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		b.Fatal(err)
	}
	info := func() *jetstream.ConsumerInfo {
		is, err := c.Info(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return is
	}
	inFlight := func() int { return info().NumAckPending }
	left := func() int {
		is := info()
		return int(is.NumPending) + is.NumAckPending
	}
	names := []string{"bridge-0", "bridge-1"}
	for _, name := range names {
		h.StartService(b, "kafka-bridge", name)
	}
	for b.Loop() {
		var took []float64
		for kill := range kills {
			log.publish(3000, 97)
			h.Until(b, "all events are settled", func() bool { return left() == 0 })
			working := 0
			if log.working(names[1]) {
				working = 1
			}
			var publishing sync.WaitGroup
			publishing.Go(func() { log.publish(5000, 97) })
			h.Until(b, "events are in flight", func() bool { return inFlight() > 0 })
			h.Processes[names[working]].Kill()
			killed := time.Now()
			publishing.Wait()
			h.Until(b, "the other replica has settled all events", func() bool { return left() == 0 })
			took = append(took, time.Since(killed).Seconds())
			names[working] = fmt.Sprintf("bridge-%d", kill+len(names))
			h.StartService(b, "kafka-bridge", names[working])
		}
		slices.Sort(took)
		b.Logf("%.1f", took)
		b.ReportMetric(took[len(took)*95/100], "s-p95")
	}
	b.ReportMetric(0, "ns/op")
}
