package kafkabridge

import (
	"context"
	"net"
	"time"
)

// loginWithin bounds what is said on a connection before its first request: TLS, and who we are.
const loginWithin = 5 * time.Second

// dial connects to a broker.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return bounded{c}, nil
}

// bounded is a connection on which nothing is waited for without end. The client takes the deadline away before SASL: a
// broker that hangs just then would hang for good the goroutine that learns where the partitions are.
type bounded struct{ net.Conn }

// SetDeadline sets one where none is asked for. Between requests nobody reads, and the next request sets its own.
func (c bounded) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(loginWithin)
	}
	return c.Conn.SetDeadline(t)
}
