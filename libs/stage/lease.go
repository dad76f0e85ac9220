package stage

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// leased holds the lease on the input during the attempt: it sends an extension to the server every third of the ack wait. If the server is
// unavailable or slow and misses the extension, the attempt continues, and another worker may get the same input. In a stage with an effect,
// the claim prevents a second effect. In other stages, a second attempt is harmless.
func leased(conn *nats.Conn, ackWait time.Duration) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			working, stop := context.WithCancel(ctx)
			released := make(chan struct{})
			go func() {
				defer close(released)
				extend(working, conn, ackWait/3, a.msg.Reply())
			}()
			outs, err := next(ctx, a)
			stop()
			<-released // an extension after a nak would delay the retry
			return outs, err
		}
	}
}

// progress extends the lease on a message.
var progress = []byte("+WPI")

// extend extends the lease on a message, given by its reply subject, until ctx ends.
func extend(ctx context.Context, conn *nats.Conn, interval time.Duration, reply string) {
	every(ctx, interval, func() { _ = conn.Publish(reply, progress) })
}

// every calls a function at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, call func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		call()
	}
}
