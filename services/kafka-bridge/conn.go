package kafkabridge

import (
	"context"
	"net"
	"time"
)

// connect connects to a broker.
func connect(ctx context.Context, network, address string, login time.Duration) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return limited{c, login}, nil
}

// limited is a connection on which every wait has a time limit. The client removes the deadline before SASL: a broker that hangs at that
// moment would block the goroutine that reads the cluster's metadata forever.
type limited struct {
	net.Conn
	login time.Duration
}

// SetDeadline sets a deadline even if the caller removes it. Between requests the client does not read, and the next request sets a deadline
// of its own.
func (c limited) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(c.login)
	}
	return c.Conn.SetDeadline(t)
}
