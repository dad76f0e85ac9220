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
	sinceFlag(fs, "begin with the events of so long ago, e.g. 30d; without it, with the log's first")
	wholeFlag(fs, "rate", 500, 100_000, "write at most this `number` of events a second")
	fs.Bool("anew", false, "forget a refill that was stopped, and begin a new one")
	fs.Bool("yes", false, "do it without asking")
}

// tellEvery is how often a refill says how far it is.
const tellEvery = 5 * time.Second

// kafkaRefill prints the plan, asks for confirmation, and writes the events.
func kafkaRefill(ctx context.Context, c *call) error {
	if len(c.args) > 0 {
		return usageError{"wants no arguments, only flags"}
	}
	rate := value[int](c, "rate")
	since, err := c.since()
	if err != nil {
		return err
	}
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
	anew := c.flag("anew") == "true"
	p, err := r.Plan(ctx, since, anew)
	if err != nil {
		return err
	}
	if !p.Begun.IsZero() && !since.IsZero() {
		return usageError{"a refill was stopped at another place: leave --since out to go on with it, or add --anew"}
	}
	if p.Left == 0 && p.Begun.IsZero() {
		fmt.Fprintln(c.stdout, "There is nothing to write: the bridge has not written any event of this time yet.")
		return nil
	}
	c.announce(r, p, rate)
	if err := c.agreed(ctx); err != nil {
		return err
	}
	return c.refill(ctx, r, p, rate, since, anew)
}

func (c *call) announce(r *kafkabridge.Refill, p kafkabridge.RefillPlan, rate int) {
	verb := "To write"
	if !p.Begun.IsZero() {
		verb = "Begun at " + p.Begun.Format(time.RFC3339) + ". Left to write"
	}
	fmt.Fprintf(c.stdout, "%s: %s of the log, sequences %d to %d, onto the topic %s (%d partitions, %s), at most %d a second: about %s.\n",
		verb, count(p.Left, "event"), p.From, p.To, r.Topic, r.Partitions, r.Format, rate, lasts(p.Left, rate))
	fmt.Fprintln(c.stdout, "What the topic has of them already, its readers get a second time, with the same ids.")
	fmt.Fprintln(c.stdout, "The bridge pauses meanwhile, so that the order holds: new events reach Kafka when this is done. Nothing else of Signrelay waits.")
}

func (c *call) refill(ctx context.Context, r *kafkabridge.Refill, p kafkabridge.RefillPlan, rate int, since time.Time, anew bool) error {
	told := time.Now()
	left := p.Left
	err := r.Run(ctx, since, anew, rate, func(now int) {
		if left = now; time.Since(told) >= tellEvery {
			told = time.Now()
			fmt.Fprintf(c.stdout, "%d of %s written, about %s left\n", max(p.Events-left, 0), count(p.Events, "event"), lasts(left, rate))
		}
	})
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped())) {
		fmt.Fprintf(c.stdout, "%s not written, because Kafka does not take them: %s. `signrelay dlq list --stage kafka-bridge` has those that the bridge met.\n",
			count(r.Skipped()[reason], "event"), reason)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped with %s left. The bridge goes on with new events; `signrelay kafka refill` goes on here", count(left, "event"))
	case err != nil:
		return err
	}
	fmt.Fprintln(c.stdout, "Done. The bridge goes on.")
	return nil
}

// lasts is how long so many events take at that rate.
func lasts(events, rate int) time.Duration {
	return (time.Duration(events) * time.Second / time.Duration(rate)).Truncate(time.Second) + time.Second
}
