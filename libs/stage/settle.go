package stage

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// ackFor limits the wait for the server's confirmation of an ack.
const ackFor = 5 * time.Second

// settled acks, naks or terminates the message, see settleUntilConfirmed.
func settled(conn *nats.Conn, floors *Floors, acked *acks, ends <-chan struct{}) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			arrived := conn.Stats().Reconnects
			outs, err := next(ctx, a)
			a.unsettled = settleUntilConfirmed(conn, ends, func() error {
				return settle(ctx, a.msg, a.decision, acked, !conn.IsConnected() || conn.Stats().Reconnects != arrived)
			})
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

// settle carries out the decision at the broker. The server confirms an ack only after an outage, because a restarted server ignores the acks
// that it gets before it has restored its consumers. If another ack is lost with its connection, it is sent again on the next connection, see
// acks. If it is lost nevertheless, the input is delivered again after the ack wait, and that attempt changes nothing: its claim is confirmed,
// and its outputs have the same ids. See docs/adr/0033.
func settle(ctx context.Context, msg jetstream.Msg, d Decision, acked *acks, outage bool) error {
	switch {
	case d.Kind == giveUp:
		return msg.TermWithReason(d.Reason)
	case d.Kind == retry:
		return msg.NakWithDelay(d.Wait(rand.Float64())) //nolint:gosec // it spreads retries; guessing it gains nothing
	case outage:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackFor)
		defer cancel()
		return msg.DoubleAck(ctx)
	default:
		acked.add(msg.Reply())
		return msg.Ack()
	}
}

// acks are the last acks that the server does not confirm, by the reply subjects of their messages. The server gets those that may be lost with
// a connection again on the next connection.
type acks struct {
	mu   sync.Mutex
	last [lastAcks]sentAck
	next int
}

type sentAck struct {
	reply string
	at    time.Time
}

const (
	// lastAcks is the number of acks that are remembered: more than a replica sends while it does not notice that its connection is broken,
	// unless the peer vanished without closing it. Then the inputs were delivered again long before.
	lastAcks = 256
	// ackLostFor is the age up to which an ack is sent again: the ack wait in which the input was not delivered again.
	ackLostFor = flow.AckWait
)

func (s *acks) add(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[s.next%lastAcks] = sentAck{reply, time.Now()}
	s.next++
}

// take removes and returns the acks that were sent since that time.
func (s *acks) take(since time.Time) (replies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.last {
		if a.reply != "" && a.at.After(since) {
			replies = append(replies, a.reply)
		}
		s.last[i] = sentAck{}
	}
	return replies
}

// resend sends acks again after each reconnect, until ends is closed. An ack of an input that the server knows to be acked has no effect.
func (s *acks) resend(conn *nats.Conn, ends <-chan struct{}) {
	status := conn.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	defer conn.RemoveStatusListener(status)
	lost := time.Now()
	for {
		select {
		case <-ends:
			return
		case now, open := <-status:
			if !open {
				return
			}
			if now == nats.RECONNECTING {
				lost = time.Now()
				continue
			}
		}
		for _, reply := range s.take(lost.Add(-ackLostFor)) {
			_ = settleUntilConfirmed(conn, ends, func() error { // a failure costs another attempt
				_, err := conn.Request(reply, ack, ackFor)
				return err
			})
		}
	}
}

// ack acks a message.
var ack = []byte("+ACK")
