package kafka_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

const benched = 100_000 // events of 1 KiB

// BenchmarkBridge measures how fast the bridge writes a backlog and how much CPU it needs, compared with the same client that only writes
// the same records in windows of the same size.
func BenchmarkBridge(b *testing.B) {
	broker := newBroker(b)
	b.Run("bridge", func(b *testing.B) {
		for b.Loop() {
			bridge(b, broker)
		}
	})
	b.Run("bare-producer", func(b *testing.B) {
		for b.Loop() {
			bare(b, broker)
		}
	})
}

func bridge(b *testing.B, broker *broker) {
	b.Helper()
	h := testenv.LazySync(b, func(*testenv.Env) string {
		return fmt.Sprintf("kafka: {brokers: [%q], replication_factor: 1, partitions: 3, create_topic: true, topic: bridge}\n", broker.addr)
	})
	js := h.JetStream(b)
	(&bridged{Env: h, t: b, size: 900}).publish(benched, 97)
	h.Timeout = 5 * time.Minute
	p := h.StartService(b, "kafka-bridge", "bridge")
	began, before := time.Now(), testenv.CPU(b, p.PID())
	first := left(b, js)
	h.Until(b, "all is in Kafka", func() bool { return left(b, js) == 0 })
	report(b, first, time.Since(began), testenv.CPU(b, p.PID())-before)
}

// left is the number of events that the bridge has not acked.
func left(b *testing.B, js jetstream.JetStream) int {
	b.Helper()
	c, err := js.Consumer(b.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		b.Fatal(err)
	}
	return int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
}

func bare(b *testing.B, broker *broker) {
	b.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(broker.addr), Transport: transport, Timeout: 10 * time.Second}
	if _, err := client.CreateTopics(b.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "bare", NumPartitions: 3, ReplicationFactor: 1}}}); err != nil {
		b.Fatal(err)
	}
	e := anEvent(0, "document-0")
	e.Attributes = map[string]string{"render_data.text": strings.Repeat("x", 900)}
	value, err := proto.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	window := flow.StageNamed(flow.KafkaBridge).Workers
	began, before := time.Now(), testenv.CPU(b, os.Getpid())
	for written := 0; written < benched; written += window {
		var partitions sync.WaitGroup
		for partition := range 3 {
			partitions.Go(func() {
				batch := make([]kafka.Record, 0, window)
				for n := partition; n < window; n += 3 {
					batch = append(batch, kafka.Record{Key: kafka.NewBytes([]byte("document-0")), Value: kafka.NewBytes(value), Time: began})
				}
				for { // the topic may have no leaders for a moment
					response, err := client.Produce(b.Context(), &kafka.ProduceRequest{
						Topic: "bare", Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...),
					})
					if err == nil && response.Error == nil {
						return
					}
					if written > 0 {
						b.Errorf("%v %v", err, response)
						return
					}
				}
			})
		}
		partitions.Wait()
	}
	report(b, benched, time.Since(began), testenv.CPU(b, os.Getpid())-before)
}

func report(b *testing.B, events int, took, cpu time.Duration) {
	b.Helper()
	b.ReportMetric(float64(events)/took.Seconds(), "events/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(events), "µs-CPU/event")
	b.ReportMetric(0, "ns/op")
}
