package service

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// clock is the clock of the services of one process: the machine's, until a demo moves it.
type clock struct{ ahead atomic.Int64 }

// now has no monotonic part, so that differences count the jumps.
func (c *clock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }

// jump moves the clock forward when the stages have done all their work. The NATS server has the machine's clock, so jump publishes the messages
// that are scheduled until the new time.
func (c *clock) jump(ctx context.Context, js jetstream.JetStream, by time.Duration) error {
	if err := flow.StagesDone(ctx, js); err != nil {
		return err
	}
	c.ahead.Add(int64(by))
	return flow.PublishDue(ctx, js, c.now())
}
