package kafkabridge

import (
	"context"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

const (
	// pauseFor is the maximum time for which the bridge stays paused after a refill is killed. A running refill renews the pause every third
	// of this time.
	pauseFor = time.Minute
	// idleWithin limits the wait until the bridge has finished its work. It is longer than the leases of a dead bridge.
	idleWithin = flow.AckWait + 5*time.Second
)

// pauseBridge pauses the bridge, waits until it has finished its work, and keeps it paused until resume is called.
func (r *Refill) pauseBridge(ctx context.Context) (resume func(), err error) {
	if err := r.pause(ctx); err != nil {
		return nil, fmt.Errorf("pause the bridge: %w", err)
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		r.keepPaused(keeping)
	}()
	resume = func() {
		stop()
		<-kept
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := r.js.ResumeConsumer(ctx, flow.Signing, flow.KafkaBridge); err != nil {
			r.log.WarnContext(ctx, "the bridge resumes by itself in a minute", "error", err)
		}
	}
	for deadline := time.Now().Add(idleWithin); time.Now().Before(deadline); {
		c, err := r.js.Consumer(ctx, flow.Signing, flow.KafkaBridge)
		if err == nil && c.CachedInfo().NumAckPending == 0 {
			return resume, nil
		}
		select {
		case <-ctx.Done():
			resume()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return resume, nil // the bridge's leases have lapsed: it will write its unwritten events after the refill
}

func (r *Refill) pause(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := r.js.PauseConsumer(ctx, flow.Signing, flow.KafkaBridge, time.Now().Add(pauseFor))
	return err
}

// keepPaused renews the pause until ctx ends.
func (r *Refill) keepPaused(ctx context.Context) {
	tick := time.NewTicker(pauseFor / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.pause(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "cannot keep the bridge paused; new events may be written before old ones", "error", err)
		}
	}
}
