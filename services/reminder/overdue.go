package reminder

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

const (
	// countEvery is the time between two counts of the schedules: each reads all of them.
	countEvery = time.Hour
	// overdueAfter is many times the delay with which the NATS server publishes a message that is due: within a second, or after its restart.
	overdueAfter = 5 * time.Minute
)

// counter counts the schedules, and those that the NATS server should have published. Every replica has the same numbers.
type counter struct {
	schedules          event.Log // REMIND
	now                func() time.Time
	log                *slog.Logger
	scheduled, overdue prometheus.Gauge
}

func newCounter(r reminder, log *slog.Logger, metrics prometheus.Registerer) (counter, error) {
	c := counter{
		schedules: r.scheduled, now: r.now, log: log,
		scheduled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_reminder_scheduled_messages",
			Help: "Messages of the stream REMIND that the NATS server will publish when they are due, at the last count.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_reminder_overdue_messages",
			Help: "Messages of the stream REMIND that were due more than 5 minutes before the last count, and that the NATS server had not published.",
		}),
	}
	for _, g := range []prometheus.Collector{c.scheduled, c.overdue} {
		if err := metrics.Register(g); err != nil {
			return counter{}, fmt.Errorf("register the reminder's metrics: %w", err)
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
			c.log.WarnContext(ctx, "the scheduled reminders were not counted", "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c counter) count(ctx context.Context) error {
	limit := c.now().Add(-overdueAfter)
	scheduled, overdue := 0, 0
	for m, err := range c.schedules.Messages(ctx, ">", time.Time{}) {
		if err != nil {
			return err
		}
		at, found := flow.ScheduledAt(m.Header)
		if !found {
			continue
		}
		scheduled++
		if at.Before(limit) {
			overdue++
		}
	}
	c.scheduled.Set(float64(scheduled))
	c.overdue.Set(float64(overdue))
	return nil
}
