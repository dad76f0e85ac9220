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
				extend(working, conn, ackWait/3, func() []string { return []string{a.msg.Reply()} })
			}()
			outs, err := next(ctx, a)
			stop()
			<-released // an extension after a nak would delay the retry
			return outs, err
		}
	}
}

// extend extends the leases on messages, given by their reply subjects, until ctx ends.
func extend(ctx context.Context, conn *nats.Conn, every time.Duration, replies func() []string) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, reply := range replies() {
			_ = conn.Publish(reply, []byte("+WPI"))
		}
	}
}
