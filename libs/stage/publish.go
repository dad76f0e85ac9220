package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/crash"
)

// publishFor bounds one publish, its stream's ack included.
const publishFor = 5 * time.Second

// published stores what follows before the input is acked, also where the memory did not hear of what was done: the log is
// asked then. Doing it again is harmless, because outputs have stable ids.
func published(js jetstream.JetStream) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			outs, err := next(ctx, a)
			if err != nil && !errors.Is(err, errUnconfirmed) {
				return nil, err
			}
			crash.Point("made")
			err = errors.Join(err, publish(ctx, js, traced(ctx, outs)...))
			crash.Point("published")
			return nil, err
		}
	}
}

// publish publishes all outs at once and waits for every ack: when it returns nil, all are stored.
func publish(ctx context.Context, js jetstream.JetStream, outs ...Out) error {
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	var all errgroup.Group
	for _, out := range outs {
		all.Go(func() error {
			if out.Header.Get(jetstream.MsgIDHeader) == "" {
				return fmt.Errorf("output on %s has no %s", out.Subject, jetstream.MsgIDHeader)
			}
			if _, err := js.PublishMsg(ctx, out); err != nil {
				return fmt.Errorf("publish on %s: %w", out.Subject, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return ours("publish", err)
	}
	return nil
}
