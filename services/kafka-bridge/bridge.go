package kafkabridge

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
)

// bridge writes events to a topic. Package stage takes them from the log, in order, and settles them.
type bridge struct {
	js     jetstream.JetStream
	log    *slog.Logger
	topic  *topic
	encode encoder
	limits stage.Limits
}

// outage is the delay after a failed attempt: 100 ms, doubled with each, at most 3 s, with a jitter of a quarter to either side. The
// bridge therefore resumes within 4 s of Kafka's return. Later events wait in the log, not in memory.
var outage = flow.Policy{FirstDelay: 100 * time.Millisecond, MaxDelay: 3 * time.Second}

// runner writes the inputs of a stage to the topic, in order.
func (b *bridge) runner(s flow.Stage, r prometheus.Registerer, observer stage.Observer) stage.Ordered[record] {
	return stage.Ordered[record]{
		Stage: s, JS: b.js, Backoff: outage, Log: b.log, Metrics: r, Observer: observer, Limits: b.limits,
		Decode: b.record, Reach: b.topic.reach, Lanes: b.lanes, Write: b.write,
	}
}

func (b *bridge) record(in stage.Input) (record, error) {
	return b.encode(in.Header, in.Data)
}

// lanes returns the function that assigns a record to its partition. The number of partitions can change if the topic is created again.
func (b *bridge) lanes(ctx context.Context) (func(record) int, error) {
	count, err := b.topic.partitions(ctx)
	if err != nil {
		return nil, err
	}
	numbers := numbers(count)
	return func(r record) int { return partition(r, numbers) }, nil
}

// write writes records to a partition in order, one batch after the other, and returns how many Kafka has acknowledged.
func (b *bridge) write(ctx context.Context, partition int, records []record) (written int, err error) {
	most := len(records)
	for written < len(records) {
		count, err := b.topic.write(ctx, partition, records[written:], most)
		reason := refused(err)
		switch {
		case err == nil:
			written += count
		case reason == "":
			return written, err
		case count > 1: // Kafka refuses one of the records, or all together
			most = count / 2
		default:
			return written, outcome.PermanentFor(reason, err)
		}
	}
	return written, nil
}
