package stage

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// leased holds the lease on the input while it is worked on: the server is told every third of the ack wait. Where it does not
// hear it, because it is away or slow, the attempt goes on all the same, and somebody else may be given the same input: a stage
// with an effect is kept from doing it twice by its claim, and to all others doing it twice is harmless.
func leased(conn *nats.Conn, ackWait time.Duration) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			working, stop := context.WithCancel(ctx)
			released := make(chan struct{})
			go func() {
				defer close(released)
				extend(working, conn, a.msg.Reply(), ackWait/3)
			}()
			outs, err := next(ctx, a)
			stop()
			<-released // an extension after the answer would put off the retry that the answer asked for
			return outs, err
		}
	}
}

// extend extends the lease until ctx ends.
func extend(ctx context.Context, conn *nats.Conn, reply string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = conn.Publish(reply, []byte("+WPI"))
	}
}
