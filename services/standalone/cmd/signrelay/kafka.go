package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

func kafkaRefillFlags(fs *flag.FlagSet) {
	sinceFlag(fs, "start with the events of the last `duration`, e.g. 30d; without it, with the first event of the log")
	wholeFlag(fs, "rate", 500, 100_000, "write at most this `number` of events a second")
	fs.Bool("anew", false, "discard an interrupted refill, and start a new one")
	fs.Bool("yes", false, "do not ask for confirmation")
}

// progressInterval is the time between two progress lines of a refill.
const progressInterval = 5 * time.Second

// kafkaRefill prints the plan, asks for confirmation, and writes the events.
func kafkaRefill(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"takes no arguments, only flags"}
	}
	rate := value[int](c, "rate")
	since := c.since()
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	r, err := kafkabridge.OpenRefill(ctx, js, kafkasettings.Section.Of(c.cfg), slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer r.Close()
	restart := value[bool](c, "anew")
	p, err := r.Plan(ctx, since, restart)
	if err != nil {
		return err
	}
	if !p.Begun.IsZero() && !since.IsZero() {
		return usageError{"there is an interrupted refill: leave out --since to continue it, or add --anew to start a new one"}
	}
	if p.Left == 0 && p.Begun.IsZero() {
		fmt.Fprintln(c.stdout, "Nothing to write: the bridge has not written any event of this time yet.")
		return nil
	}
	c.announce(r, p, rate)
	if err := c.confirm(ctx); err != nil {
		return err
	}
	return c.refill(ctx, r, p, rate, since, restart)
}

func (c *call) announce(r *kafkabridge.Refill, p kafkabridge.RefillPlan, rate int) {
	verb := "To write"
	if !p.Begun.IsZero() {
		verb = "Started at " + p.Begun.Format(time.RFC3339) + ". Left to write"
	}
	fmt.Fprintf(c.stdout, "%s: %s of the log, sequences %d to %d, to the topic %s (%d partitions, %s), at most %d a second: about %s.\n",
		verb, count(p.Left, "event"), p.From, p.To, r.Topic, r.Partitions, r.Format, rate, duration(p.Left, rate))
	fmt.Fprintln(c.stdout, "Readers get the events that are already in the topic a second time, with the same ids.")
	fmt.Fprintln(c.stdout, "The bridge pauses during the refill, to keep the order: new events reach Kafka after it. No other service waits.")
}

func (c *call) refill(ctx context.Context, r *kafkabridge.Refill, p kafkabridge.RefillPlan, rate int, since time.Time, restart bool) error {
	printed := time.Now()
	left := p.Left
	err := r.Run(ctx, since, restart, rate, func(now int) {
		if left = now; time.Since(printed) >= progressInterval {
			printed = time.Now()
			fmt.Fprintf(c.stdout, "%d of %s written, about %s left\n", max(p.Events-left, 0), count(p.Events, "event"), duration(left, rate))
		}
	})
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped())) {
		fmt.Fprintf(c.stdout, "%s not written, because Kafka rejects them: %s. `signrelay dlq list --stage kafka-bridge` lists those that the bridge also tried.\n",
			count(r.Skipped()[reason], "event"), reason)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted with %s left. The bridge continues with new events; `signrelay kafka refill` continues the refill", count(left, "event"))
	case err != nil:
		return err
	}
	fmt.Fprintln(c.stdout, "Done. The bridge continues.")
	return nil
}

// duration returns the time that the events take at that rate.
func duration(events, rate int) time.Duration {
	return (time.Duration(events) * time.Second / time.Duration(rate)).Truncate(time.Second) + time.Second
}
