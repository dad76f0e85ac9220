package flow

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// doneWithin limits each wait for the stages. A stage may have an input that it postpones for longer.
const doneWithin = 5 * time.Second

// PublishDue publishes the scheduled messages that are due by a time, as the NATS server does at that time, until none is due. After each round
// it waits until the stages have handled them. A demo whose clock jumps needs it.
func PublishDue(ctx context.Context, js jetstream.JetStream, by time.Time) error {
	for {
		published := 0
		for _, s := range Streams {
			if !s.Schedules {
				continue
			}
			n, err := publishDue(ctx, js, s.Name, by)
			if err != nil {
				return fmt.Errorf("publish the scheduled messages of %s: %w", s.Name, err)
			}
			published += n
		}
		if published == 0 {
			return nil
		}
		if err := StagesDone(ctx, js); err != nil {
			return err
		}
	}
}

// publishDue returns the number of published messages.
func publishDue(ctx context.Context, js jetstream.JetStream, stream string, by time.Time) (published int, err error) {
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if err != nil {
		return 0, err
	}
	for {
		batch, err := consumer.FetchNoWait(256)
		if err != nil {
			return published, err
		}
		read := 0
		for m := range batch.Messages() {
			read++
			if at, scheduled := ScheduledAt(m.Headers()); !scheduled || at.After(by) {
				continue
			}
			if _, err := js.PublishMsg(ctx, DueMessage(m)); err != nil {
				return published, err
			}
			published++
		}
		if err := batch.Error(); err != nil || read == 0 {
			return published, err
		}
	}
}

// DueMessage returns the message that the server publishes for a schedule: with the same content, on its target. It removes the schedule.
func DueMessage(scheduled jetstream.Msg) *nats.Msg {
	due := nats.NewMsg(scheduled.Headers().Get(jetstream.ScheduleTargetHeader))
	due.Data = scheduled.Data()
	for key, values := range scheduled.Headers() {
		if !strings.HasPrefix(key, "Nats-") {
			due.Header[key] = values
		}
	}
	due.Header.Set("Nats-Scheduler", scheduled.Subject())
	due.Header.Set("Nats-Schedule-Next", "purge")
	return due
}

// StagesDone waits until no stage has an input, but at most 5 s. Between two stages a message is in no stage's count for a moment, so all
// stages must have none twice in a row.
func StagesDone(ctx context.Context, js jetstream.JetStream) error {
	limit, cancel := context.WithTimeout(ctx, doneWithin)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for idle := 0; idle < 2; {
		waiting, err := inputs(limit, js)
		switch {
		case limit.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case waiting > 0:
			idle = 0
		default:
			idle++
		}
		select {
		case <-look.C:
		case <-limit.Done():
		}
	}
	return nil
}

// inputs returns the number of inputs that wait for a stage or are in flight.
func inputs(ctx context.Context, js jetstream.JetStream) (count uint64, err error) {
	for _, s := range Stages {
		if s.Optional {
			continue
		}
		consumer, err := js.Consumer(ctx, s.Stream, s.Name)
		if err != nil {
			return 0, fmt.Errorf("read the consumer %s: %w", s.Name, err)
		}
		is := consumer.CachedInfo()
		count += is.NumPending + uint64(is.NumAckPending)
	}
	return count, nil
}
