package kafkabridge

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

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
// again, however often; left are those that were not written when ctx ended, or when nothing had been written for letGo.
func (b *bridge) carry(ctx context.Context, messages []jetstream.Msg, letGo time.Duration) (written, left []jetstream.Msg) {
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
			i.done = b.giveUp(ctx, i, "undecodable", err)
		}
	}

	last := time.Now()
	for remain := undone(all); remain > 0 && ctx.Err() == nil; {
		err := b.round(ctx, writing, all)
		before := remain
		if remain = undone(all); remain < before {
			last = time.Now()
		}
		if err == nil {
			b.tired = false
			b.wait.passed(ctx)
			continue
		}
		b.wait.failed(ctx, err)
		if time.Since(last) > letGo {
			b.reached, b.tired = false, true
			break
		}
	}

	for _, i := range all {
		if i.done {
			written = append(written, i.msg)
		} else {
			left = append(left, i.msg)
		}
	}
	return written, left
}

func undone(all []*item) int {
	count := 0
	for _, i := range all {
		if !i.done {
			count++
		}
	}
	return count
}

// round writes what is not written yet, partitions beside each other, each until something fails. The next round deals anew:
// the topic may have been made anew meanwhile, with other partitions.
func (b *bridge) round(ctx, writing context.Context, all []*item) error {
	count, err := b.topic.partitions(ctx)
	if err != nil {
		return err
	}
	numbers := numbers(count)
	dealt := map[int][]*item{}
	for _, i := range all {
		if !i.done {
			n := partition(i.record, numbers)
			dealt[n] = append(dealt[n], i)
		}
	}
	var partitions errgroup.Group
	for n, items := range dealt {
		partitions.Go(func() error { return b.fill(ctx, writing, n, items) })
	}
	return partitions.Wait()
}

// partition is chosen by the key's hash as Kafka's own client has it, so that who joins the topic with another one of the
// same keys finds them in the partitions he expects.
func partition(record kafka.Message, numbers []int) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(record, numbers...)
}

// numbers are those of so many partitions.
func numbers(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}

// fill writes a partition's items in order, a batch after the other, and goes on only when one is written.
func (b *bridge) fill(ctx, writing context.Context, partition int, items []*item) error {
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
			for _, i := range batch {
				i.done = true
			}
		case why != "" && len(batch) > 1: // one of them, or all together
			most = len(batch) / 2
			continue
		case why != "":
			if batch[0].done = b.giveUp(ctx, batch[0], why, err); !batch[0].done {
				return ctx.Err()
			}
		default:
			return err
		}
		items = items[len(batch):]
	}
	return nil
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
