// Package realtest gives tests real dependencies: a NATS server with JetStream, and Redis. A test can stop them and start them again at the same
// address with their stored data.
package realtest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Broker is a NATS server with JetStream, for one test.
type Broker struct {
	URL string

	t    testing.TB
	opts server.Options
	s    *server.Server
}

// NATS starts a broker on a free loopback port; it ends with the test.
func NATS(t testing.TB) *Broker {
	t.Helper()
	return NATSWith(t, func(*server.Options) {})
}

// NATSWith works like NATS, with other options, such as users or TLS.
func NATSWith(t testing.TB, change func(*server.Options)) *Broker {
	t.Helper()
	Server(t, "a NATS server")
	b := &Broker{t: t, opts: server.Options{
		Host:               "127.0.0.1",
		Port:               server.RANDOM_PORT,
		JetStream:          true,
		StoreDir:           t.TempDir(),
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 30, // only a limit; without it the server reserves the free disk space
		NoLog:              true,
		NoSigs:             true,
	}}
	change(&b.opts)
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

// Change changes the options of the running broker, like a reload of its configuration: the broker disconnects clients that are no longer
// allowed.
func (b *Broker) Change(change func(*server.Options)) {
	b.t.Helper()
	change(&b.opts)
	opts := b.opts
	if err := b.s.ReloadOptions(&opts); err != nil {
		b.t.Fatalf("reload the NATS server: %v", err)
	}
}

// Restart restarts the broker with changed options. A test that sends messages meanwhile cannot use Change under the race detector: when the server
// disconnects a client that is no longer allowed, it reads the counters of that client, which another of its goroutines writes (2.15.2).
func (b *Broker) Restart(change func(*server.Options)) {
	b.t.Helper()
	b.Stop()
	change(&b.opts)
	b.Start()
}

// Start starts a stopped broker, at the same URL and with the same streams.
func (b *Broker) Start() {
	b.t.Helper()
	if b.s != nil {
		return
	}
	opts := b.opts // the server modifies the options
	s, err := server.NewServer(&opts)
	if err != nil {
		b.t.Fatalf("NATS server: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		b.t.Fatal("NATS server was not ready within 10 s")
	}
	b.s, b.URL, b.opts.Port = s, s.ClientURL(), opts.Port
}

// Stop stops the broker in an orderly way.
func (b *Broker) Stop() {
	if b.s == nil {
		return
	}
	b.s.Shutdown()
	b.s.WaitForShutdown()
	b.s = nil
}

// Connect opens a connection to the broker that reconnects when the broker restarts; it ends with the test. A broker with users or TLS needs
// options for them.
func (b *Broker) Connect(options ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	own := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectBufSize(-1)}
	conn, err := nats.Connect(b.URL, append(own, options...)...)
	if err != nil {
		b.t.Fatalf("connect to the test's broker: %v", err)
	}
	b.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.t.Fatalf("JetStream: %v", err)
	}
	return conn, js
}
