package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// leased holds the lease on the input while it is worked on: every third of the ack wait the server is told, and has to
// answer within another third. When it does not, the attempt is cancelled with a third to spare: from then on somebody
// else may be given the same input.
func leased(conn *nats.Conn, ackWait time.Duration) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			ctx, stop := context.WithCancelCause(ctx)
			released := make(chan struct{})
			go func() {
				defer close(released)
				if err := extend(ctx, conn, a.msg.Reply(), ackWait/3); err != nil {
					stop(fmt.Errorf("%w: %w", errLeaseLost, err))
				}
			}()
			outs, err := next(ctx, a)
			stop(nil)
			<-released // an extension after the answer would put off the retry that the answer asked for
			return outs, err
		}
	}
}

// extend extends the lease until ctx ends, or says why it could not. It asks with a request, because a mere publish
// succeeds into the client's buffer while the broker is away.
func extend(ctx context.Context, conn *nats.Conn, reply string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		answer, cancel := context.WithTimeout(ctx, every)
		_, err := conn.RequestWithContext(answer, reply, []byte("+WPI"))
		cancel()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("extend: %w", err)
		}
	}
}
