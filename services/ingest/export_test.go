package ingest

import (
	"context"
	"math"
	"time"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// RunWith works like Run, with other packs.
func RunWith(packs []pack.Pack) func(context.Context, service.Env) error {
	return func(ctx context.Context, env service.Env) error { return run(ctx, env, packs) }
}

// RunWithBatches is Run with batches for all concurrent callbacks, without a measurement.
func RunWithBatches(ctx context.Context, env service.Env) error {
	h, err := newHandler(env, providers.All)
	if err != nil {
		return err
	}
	h.store.publisher.mode = chooser{batches: true, left: math.MaxInt}
	return h.run(ctx)
}

// Chooser decides between the modes.
type Chooser struct{ is chooser }

// Record adds a publish.
func (c *Chooser) Record(took time.Duration, now time.Time) { c.is.record(took, now) }

// Batches is the current mode.
func (c *Chooser) Batches() bool { return c.is.batches }
