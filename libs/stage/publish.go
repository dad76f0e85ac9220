package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// publishFor limits one publish, including the stream's ack.
const publishFor = 5 * time.Second

// publisher stores the outputs of one consumer's inputs.
type publisher struct {
	js   jetstream.JetStream
	made time.Time // the creation of the consumer
}

// published stores the outputs before the input is acked. It also stores them if the dedupe store could not confirm the work, because the
// next attempt then searches the log, and if a part of the work was postponed. Publishing again is harmless, because outputs have stable ids.
func published(p publisher) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			outs, err := next(ctx, a)
			if err != nil && (counts(read(err)) || len(outs) == 0) {
				return nil, err
			}
			crash.Point("made")
			stored := p.publish(ctx, a, outs)
			crash.Point("published")
			if stored != nil && !errors.Is(err, errUnconfirmed) {
				return nil, stored // the retry of this failure comes before the postponed part
			}
			return nil, errors.Join(err, stored)
		}
	}
}

// publish stores outs. The streams themselves refuse a known id for flow.DuplicateWindow. If an earlier attempt may have
// published the same outputs before that, publish first reads from the log which of them it already has.
func (p publisher) publish(ctx context.Context, a *attempt, outs []Out) error {
	if len(outs) > 0 && p.late(a, time.Now()) {
		var err error
		if outs, err = Unpublished(ctx, p.js, outs); err != nil {
			return outcome.Away("publish", err)
		}
	}
	return publish(ctx, p.js, traced(ctx, outs)...)
}

// late reports whether an earlier attempt may have published before the streams' duplicate window. Half of the window is reserved for clocks
// that differ. The earlier attempt may be from before the consumer was recreated, or before the input became a dead letter. Or only the claim
// shows it.
func (p publisher) late(a *attempt, now time.Time) bool {
	again := a.number > 1 && now.Sub(a.meta.Timestamp) > flow.DuplicateWindow/2
	return again || a.claimedBefore || a.input.Replays > 0 || a.meta.Timestamp.Before(p.made)
}

// Unpublished returns the outputs that the log, SIGNING, does not hold yet. A stage calls it for outputs that another input may
// cause too.
func Unpublished(ctx context.Context, js jetstream.JetStream, outs []Out) ([]Out, error) {
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	log := event.Log{JS: js, Stream: flow.Signing}
	ids := map[string][]string{} // by subject
	for _, out := range outs {
		if event.InLog(out.Subject) {
			ids[out.Subject] = append(ids[out.Subject], out.Header.Get(jetstream.MsgIDHeader))
		}
	}
	held := map[string]bool{}
	for subject, ids := range ids {
		found, err := log.Which(ctx, subject, event.Span{}, ids...)
		if err != nil {
			return nil, fmt.Errorf("look for earlier outputs in the log: %w", err)
		}
		for id := range found {
			held[id] = true
		}
	}
	var rest []Out
	for _, out := range outs {
		if !held[out.Header.Get(jetstream.MsgIDHeader)] || !event.InLog(out.Subject) {
			rest = append(rest, out)
		}
	}
	return rest, nil
}

// publish publishes all outs concurrently and waits for every ack: when it returns nil, all are stored.
func publish(ctx context.Context, js jetstream.JetStream, outs ...Out) error {
	if len(outs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	last := len(outs) - 1
	var others errgroup.Group
	for _, out := range outs[:last] {
		others.Go(func() error { return publishOne(ctx, js, out) })
	}
	err := publishOne(ctx, js, outs[last]) // the only one of most inputs needs no goroutine
	if first := others.Wait(); first != nil {
		err = first
	}
	if err != nil {
		return outcome.Away("publish", err)
	}
	return nil
}

func publishOne(ctx context.Context, js jetstream.JetStream, out Out) error {
	if out.Header.Get(jetstream.MsgIDHeader) == "" {
		return fmt.Errorf("output on %s has no %s", out.Subject, jetstream.MsgIDHeader)
	}
	if _, err := js.PublishMsg(ctx, out); err != nil {
		return fmt.Errorf("publish on %s: %w", out.Subject, err)
	}
	return nil
}
