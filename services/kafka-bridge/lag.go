package kafkabridge

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lagEvery is how often the lag is measured, by a replica that stands by or waits for Kafka too.
const lagEvery = 2 * time.Second

// floorEvery is how often it is kept how far the bridge has come.
const floorEvery = 15 * time.Second

// watch measures the lag until ctx ends, and keeps how far the bridge has come. While the log cannot be asked, the last measure
// stands.
func (b *bridge) watch(ctx context.Context) error {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	var kept time.Time
	for ctx.Err() == nil {
		if c, err := lookUp(ctx, b.js, b.stage); err == nil {
			b.measure(c.CachedInfo())
			if time.Since(kept) >= floorEvery {
				kept = time.Now()
				if err := b.floors.Keep(ctx, c.CachedInfo()); err != nil && ctx.Err() == nil {
					b.log.WarnContext(ctx, "the floor is not kept", "stage", b.stage.Name, "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// inHand asks the server how many events are in hand anywhere.
func (b *bridge) inHand(ctx context.Context, c jetstream.Consumer) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := c.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the consumer: %w", err)
	}
	b.measure(info)
	return info.NumAckPending, nil
}

// measure tells how many events are not in Kafka yet: those nobody took, and those in hand.
func (b *bridge) measure(info *jetstream.ConsumerInfo) {
	b.metrics.lag.Set(float64(info.NumPending) + float64(info.NumAckPending))
}
