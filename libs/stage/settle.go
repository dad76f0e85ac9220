package stage

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackFor limits the wait for the server's confirmation of an ack.
const ackFor = 5 * time.Second

// settled acks, naks or terminates the message, see settleUntilConfirmed.
func settled(conn *nats.Conn, floors *Floors, ends <-chan struct{}) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			outs, err := next(ctx, a)
			a.unsettled = settleUntilConfirmed(conn, ends, func() error { return settle(ctx, a.msg, a.decision) })
			if a.unsettled == nil && a.decision.Kind != retry {
				floors.Done(a.meta)
			}
			return outs, err
		}
	}
}

// settleUntilConfirmed settles messages, and waits while the broker is unavailable, because an ack is valid while the message is in flight.
// So completed work is not repeated, and a retry comes on time. Without an ack, the message would
// be delivered again after the ack wait. It does not wait when the program ends.
func settleUntilConfirmed(conn *nats.Conn, ends <-chan struct{}, settle func() error) error {
	for restoring := time.Now().Add(ackFor); ; {
		before := conn.Stats().Reconnects
		err := settle()
		if err == nil {
			return nil
		}
		// A restarted server accepts connections before it has restored its consumers. Under load this took seconds.
		if errors.Is(err, nats.ErrNoResponders) && time.Now().Before(restoring) && paused(look, ends) {
			continue
		}
		// An ack on a broken connection fails after ackFor. If the connection works again by then, the ack is sent again.
		if conn.IsConnected() && conn.Stats().Reconnects == before || !back(conn, ends) {
			return err
		}
	}
}

// back waits until the connection is back. It returns false when the program ends, or when the connection was closed permanently.
func back(conn *nats.Conn, ends <-chan struct{}) bool {
	for !conn.IsConnected() {
		if !paused(look, ends) || conn.IsClosed() {
			return false
		}
	}
	return true
}

// look is the interval at which back checks the connection.
const look = 50 * time.Millisecond

// paused waits. It returns false when the program ends.
func paused(d time.Duration, ends <-chan struct{}) bool {
	select {
	case <-ends:
		return false
	case <-time.After(d):
		return true
	}
}

// settle carries out the decision at the broker. A lost ack would cause a redelivery, so the server confirms it.
func settle(ctx context.Context, msg jetstream.Msg, d Decision) error {
	switch d.Kind {
	case giveUp:
		return msg.TermWithReason(d.Reason)
	case retry:
		return msg.NakWithDelay(d.Wait(rand.Float64())) //nolint:gosec // it spreads retries; guessing it gains nothing
	default:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackFor)
		defer cancel()
		return msg.DoubleAck(ctx)
	}
}
