package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// countEvery is the time between two counts of the documents that wait.
const countEvery = time.Minute

// counter counts the documents whose files wait for another attempt. Every replica has the same numbers.
type counter struct {
	schedules       event.Log // ARCHIVE
	now             func() time.Time
	log             *slog.Logger
	waiting, oldest prometheus.Gauge
}

func newCounter(schedules event.Log, now func() time.Time, log *slog.Logger, metrics prometheus.Registerer) (counter, error) {
	c := counter{
		schedules: schedules, now: now, log: log,
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_archiver_waiting_messages",
			Help: "Completed documents of which a file is not archived yet and will be requested again, at the last count.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_archiver_oldest_wait_seconds",
			Help: "The time since the first attempt at the document that waits longest for a file, at the last count; 0 if none waits.",
		}),
	}
	for _, g := range []prometheus.Collector{c.waiting, c.oldest} {
		if err := metrics.Register(g); err != nil {
			return counter{}, fmt.Errorf("register the archiver's metrics: %w", err)
		}
	}
	return c, nil
}

// run counts at once, and then again and again until ctx ends. If it cannot read the stream, the numbers stay as they are.
func (c counter) run(ctx context.Context, every time.Duration) error {
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		if err := c.count(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "the documents whose files wait were not counted", "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c counter) count(ctx context.Context) error {
	waiting, oldest := 0, time.Duration(0)
	for m, err := range c.schedules.Messages(ctx, flow.ArchivesOf("*", "*", ""), time.Time{}) {
		if err != nil {
			return err
		}
		if _, scheduled := flow.ScheduledAt(m.Header); !scheduled {
			continue
		}
		waiting++
		if since, err := time.Parse(time.RFC3339, m.Header.Get(headerSince)); err == nil {
			oldest = max(oldest, c.now().Sub(since))
		}
	}
	c.waiting.Set(float64(waiting))
	c.oldest.Set(oldest.Seconds())
	return nil
}
