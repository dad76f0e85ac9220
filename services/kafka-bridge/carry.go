package kafkabridge

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/segmentio/kafka-go"

	"github.com/signrelay/signrelay/libs/stage"
)

const (
	// finishFor is how long a write may go on after the end: 10 s less than the 25 s a service has.
	finishFor = 15 * time.Second
	// batchBytes bounds a batch below the 1 MiB that a topic takes unless somebody says otherwise. An event that is larger
	// goes alone, and the broker decides.
	batchBytes = 900 << 10
)

// item is one message and what becomes of it.
type item struct {
	msg    jetstream.Msg
	record kafka.Message
	done   bool // written, or buried
}

// carry writes messages and returns those that are in Kafka, or that it will never take and that are in the DLQ. It tries
// again for as long as it takes; left are those that were not written when ctx ended.
func (b *bridge) carry(ctx context.Context, messages []jetstream.Msg) (written, left []jetstream.Msg) {
	// The end of ctx stops no write at once, but there is no other attempt after it.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishFor, stop) })()

	all := make([]*item, 0, len(messages))
	for _, m := range messages {
		i := &item{msg: m}
		all = append(all, i)
		var err error
		if i.record, err = b.encode.record(m.Headers(), m.Data()); err != nil {
			i.done = b.bury(ctx, i, "undecodable", err)
		}
	}

	var partitions sync.WaitGroup
	for partition, items := range b.partitioned(ctx, all) {
		partitions.Go(func() { b.fill(ctx, writing, partition, items) })
	}
	partitions.Wait()

	for _, i := range all {
		if i.done {
			written = append(written, i.msg)
		} else {
			left = append(left, i.msg)
		}
	}
	return written, left
}

// partitioned deals out what is to be written: by the key's hash as Kafka's own client has it, so that who joins the topic
// with another one of the same keys finds them in the partitions he expects.
func (b *bridge) partitioned(ctx context.Context, all []*item) map[int][]*item {
	count := 0
	for wait := (patience{topic: b.topic}); count == 0 && ctx.Err() == nil; {
		var err error
		if count, err = b.topic.partitions(ctx); err != nil {
			wait.failed(ctx, err)
			continue
		}
		wait.passed(ctx)
	}
	numbers := make([]int, count)
	for n := range numbers {
		numbers[n] = n
	}
	dealt := map[int][]*item{}
	for _, i := range all {
		if count > 0 && !i.done {
			n := kafka.Murmur2Balancer{Consistent: true}.Balance(i.record, numbers...)
			dealt[n] = append(dealt[n], i)
		}
	}
	return dealt
}

// fill writes a partition's items in order, a batch after the other, and goes on only when one is written.
func (b *bridge) fill(ctx, writing context.Context, partition int, items []*item) {
	wait := patience{topic: b.topic}
	most := len(items)
	for len(items) > 0 {
		batch := nextBatch(items, most)
		records := make([]kafka.Message, len(batch))
		for n, i := range batch {
			records[n] = i.record
		}
		err := b.topic.write(writing, partition, records)
		why := refused(err)
		switch {
		case err == nil:
			wait.passed(ctx)
			for _, i := range batch {
				i.done = true
			}
		case why != "" && len(batch) > 1: // one of them, or all together
			most = len(batch) / 2
			continue
		case why != "":
			if batch[0].done = b.bury(ctx, batch[0], why, err); !batch[0].done {
				return
			}
		default:
			if wait.failed(ctx, err); ctx.Err() != nil {
				return
			}
			continue
		}
		items = items[len(batch):]
	}
}

// nextBatch is the first items that go together: at most so many, and below batchBytes or one alone.
func nextBatch(items []*item, most int) []*item {
	size := 0
	for n, i := range items[:min(most, len(items))] {
		size += len(i.record.Key) + len(i.record.Value) + 32 // and the lengths
		for _, h := range i.record.Headers {
			size += len(h.Key) + len(h.Value) + 8
		}
		if size > batchBytes {
			return items[:max(n, 1)]
		}
	}
	return items[:min(most, len(items))]
}

// bury puts what Kafka will never take into the DLQ, so that the order goes on. It tries until it is there or ctx ends.
func (b *bridge) bury(ctx context.Context, i *item, reason string, why error) bool {
	for {
		err := stage.Bury(ctx, b.js, b.stage, i.msg, reason, why)
		if err == nil {
			b.metrics.buried.WithLabelValues(reason).Inc()
			b.log.ErrorContext(ctx, "given up", "stage", b.stage.Name, "reason", reason, "id", i.msg.Headers().Get("ce-id"))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		b.log.WarnContext(ctx, "cannot bury", "stage", b.stage.Name, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
