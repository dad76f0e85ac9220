package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
)

// bridge is one replica.
type bridge struct {
	stage   flow.Stage
	js      jetstream.JetStream
	log     *slog.Logger
	metrics metrics
	topic   *topic
	encode  encoder
	wait    patience
	floors  *stage.Floors // nil for a refill, whose place is not the bridge's
	active  bool          // the server lets this replica work
	reached bool          // Kafka has answered since the bridge started, or since it last returned messages to the stream
	tired   bool          // it returned messages to the stream that it could not write

	end    uint64                                                                 // the last sequence of the log that is carried; 0 for no end
	giveUp func(ctx context.Context, i *item, reason string, why error) (ok bool) // what becomes of what Kafka will never take
}

// run carries windows over until ctx ends.
func (b *bridge) run(ctx context.Context) error {
	var c jetstream.Consumer
	for ctx.Err() == nil {
		// A replica that cannot reach Kafka does not keep the place of one that can.
		if !b.reached && !b.reach(ctx) {
			continue
		}
		var err error
		if c == nil {
			c, err = lookUp(ctx, b.js, b.stage)
		}
		if err == nil {
			_, err = b.window(ctx, c)
		}
		if err := b.trouble(ctx, err); err != nil {
			return err
		}
	}
	b.leave(ctx, c)
	return nil
}

// reach asks the brokers whether they are there, and waits a little when they are not.
func (b *bridge) reach(ctx context.Context) bool {
	if err := b.topic.reach(ctx); err != nil {
		b.setActive(false)
		b.wait.failed(ctx, err)
		return false
	}
	b.reached = true
	if !b.tired { // else only a write tells that all is well
		b.wait.passed(ctx)
	}
	return true
}

// pause is how long is waited before asking a broker again that could not be asked.
const pause = time.Second

// trouble waits a little after trouble with the log, unless waiting cannot mend it.
func (b *bridge) trouble(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return nil //nolint:nilerr // told to end, which is no trouble
	case notOurs(err):
		b.setActive(false)
		return nil
	case gone(err):
		return fmt.Errorf("consumer %s on stream %s is missing or unfit; run `signrelay provision`: %w", b.stage.Name, b.stage.Stream, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return err
	}
	b.log.WarnContext(ctx, "broker trouble", "stage", b.stage.Name, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	return nil
}

// window fetches a window of the log, writes it, and acks it. When ctx ends, it hands unwritten messages back to the
// stream. It returns how many events are done.
func (b *bridge) window(ctx context.Context, c jetstream.Consumer) (int, error) {
	taken, err := pull(ctx, c, b.stage.Workers, 0)
	if len(taken) == 0 {
		if err == nil { // Kafka was reached, and there is nothing for us to write
			b.tired = false
			b.wait.passed(ctx)
		} // That another may work (notOurs) is told to whoever lets go, also where no other is.
		return 0, err
	}
	b.setActive(true)
	if ctx.Err() != nil {
		handBack(taken)
		return 0, nil
	}
	began := time.Now()

	h := &hand{messages: map[uint64]jetstream.Msg{}}
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	held := make(chan struct{})
	go func() {
		defer close(held)
		h.hold(holding, c.CachedInfo().Config.AckWait)
	}()
	letGo := func() { release(); <-held } // an extension after the answer would put off what the answer asked for
	defer letGo()

	if err := errors.Join(err, h.add(taken), b.complete(ctx, c, h)); err != nil {
		letGo()
		handBack(h.inOrder())
		return 0, err
	}
	messages, beyond := h.upTo(b.end)
	// After this long without a pull the server lets another replica work, which then waits for what is in this one's hand.
	written, left := b.carry(ctx, messages, c.CachedInfo().Config.PinnedTTL)
	letGo()
	crash.Point("written")
	if err = ack(ctx, written); err == nil {
		b.done(written)
	}
	handBack(left)
	handBack(beyond)
	b.metrics.seconds.Observe(time.Since(began).Seconds())
	return len(written), err
}

// done notes how far the bridge has come, for a consumer that is lost and made again.
func (b *bridge) done(messages []jetstream.Msg) {
	if b.floors == nil {
		return
	}
	for _, m := range messages {
		if meta, err := m.Metadata(); err == nil {
			b.floors.Done(meta)
		}
	}
}

// complete takes what a replica that died, or that is no longer let work, still has in hand: it stands before what is in
// ours, and comes when its lease lapses or it was acked. Only who has all that is in hand anywhere knows that nothing
// earlier is left, and may write.
func (b *bridge) complete(ctx context.Context, c jetstream.Consumer, h *hand) error {
	for told := false; ; {
		inHand, err := b.inHand(ctx, c)
		missing := inHand - h.size()
		if err != nil || missing <= 0 {
			return err
		}
		if !told {
			told = true
			b.log.InfoContext(ctx, "waiting for events in another replica's hand", "events", missing)
		}
		more, err := pull(ctx, c, max(b.stage.Workers-h.size(), 1), missing)
		if err := errors.Join(h.add(more), err, ctx.Err()); err != nil {
			return err
		}
	}
}

func (b *bridge) setActive(active bool) {
	if b.active == active {
		return
	}
	b.active = active
	b.metrics.active.Set(map[bool]float64{true: 1}[active])
	b.log.Info("kafka-bridge", "active", active)
}

// leave lets another replica work at once, instead of after StandBy.
func (b *bridge) leave(ctx context.Context, c jetstream.Consumer) {
	if !b.active || c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = b.js.Conn().FlushWithContext(ctx) // what was handed back, first
	if is, err := c.Info(ctx); err == nil && b.floors != nil {
		_ = b.floors.Keep(ctx, is)
	}
	if s, err := b.js.Stream(ctx, b.stage.Stream); err == nil {
		_ = s.UnpinConsumer(ctx, b.stage.Name, flow.Active)
	}
	b.setActive(false)
}
