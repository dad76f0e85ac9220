package service

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose clients are the other ends of pipes.
type pipes struct{ clients chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	client, server := net.Pipe()
	p.clients <- client
	return server, nil
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// caller has both ends of a connection.
type caller struct {
	client net.Conn
	server net.Conn
	ended  chan error // the reason why the server stopped reading
}

// call connects, and makes the server read until the connection ends.
func call(t *testing.T, l net.Listener, p pipes) *caller {
	t.Helper()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{client: <-p.clients, server: server, ended: make(chan error, 1)}
	go func() {
		buffer := make([]byte, 4<<10)
		for {
			if _, err := server.Read(buffer); err != nil {
				_ = server.Close()
				c.ended <- err
				return
			}
		}
	}()
	return c
}

func (c *caller) send(bytes int) { _, _ = c.client.Write(make([]byte, bytes)) }

// dropped reports whether the listener dropped the connection.
func (c *caller) dropped() bool {
	select {
	case err := <-c.ended:
		c.ended <- err
		return errors.As(err, new(SlowError))
	default:
		return false
	}
}

// The budget in these tests has room for 40 connections and a few bytes.
const roomFor = 40

func TestTheSlowestConnectionIsDroppedFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		honest func(*caller)
		// stranger is called for many other connections, one each millisecond. If lives is true, the honest caller connects after them.
		stranger func(*caller)
		lives    bool
	}{
		"a whole request among silent connections":                 {func(c *caller) { c.send(1500) }, func(*caller) {}, true},
		"a whole request among connections with one byte":          {func(c *caller) { c.send(1500) }, func(c *caller) { c.send(1) }, true},
		"a large body among connections with one byte":             {func(c *caller) { c.send(300_000) }, func(c *caller) { c.send(1) }, true},
		"a new connection among connections with one byte":         {func(*caller) {}, func(c *caller) { c.send(1) }, true},
		"a request among connections that began fast":              {func(c *caller) { c.send(1500) }, func(c *caller) { c.send(100_000); time.Sleep(2 * time.Second) }, true},
		"a very slow connection among whole requests":              {func(c *caller) { c.send(1); time.Sleep(5 * time.Second) }, func(c *caller) { c.send(20_000) }, false},
		"a connection that is slow for a day among whole requests": {func(c *caller) { c.send(1); time.Sleep(24 * time.Hour) }, func(c *caller) { c.send(20_000) }, false},
		"a verified connection, at any speed":                      {func(c *caller) { c.send(1); verify(c); time.Sleep(time.Hour) }, func(c *caller) { c.send(20_000) }, true},
		"a slow second request after a verified one":               {func(c *caller) { verify(c); c.server.(*connection).next(); time.Sleep(time.Hour) }, func(c *caller) { c.send(20_000) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dropped := 0
				p := pipes{make(chan net.Conn, 1)}
				l := LimitUnverified(p, roomFor*perConnection, func() { dropped++ })
				var honest *caller
				var all []*caller
				if !c.lives || name == "a verified connection, at any speed" { // it connects first, so that the others could displace it
					honest = call(t, l, p)
					c.honest(honest)
				}
				for range 3 * roomFor {
					one := call(t, l, p)
					all = append(all, one)
					c.stranger(one)
					time.Sleep(time.Millisecond) // so that no two connect at the same instant
				}
				if honest == nil {
					honest = call(t, l, p)
					c.honest(honest)
				}
				synctest.Wait()
				if honest.dropped() == c.lives {
					t.Errorf("dropped: %t", honest.dropped())
				}
				if dropped < roomFor {
					t.Errorf("%d of %d were dropped: the listener was not full", dropped, len(all))
				}
				if held := l.(*connections).held; held > roomFor*perConnection {
					t.Errorf("%d bytes are held", held)
				}
				for _, one := range append(all, honest) {
					_ = one.client.Close()
				}
				synctest.Wait()
				if left := l.(*connections); left.held != 0 || len(left.waiting) != 0 {
					t.Errorf("%d bytes of %d connections are held after the last", left.held, len(left.waiting))
				}
			})
		})
	}
}

func verify(c *caller) {
	synctest.Wait()
	Verified(context.WithValue(context.Background(), connectionKey{}, c.server))
}

// For every mix of slow connections, the listener serves a client that sends its request at once, and stays within the budget.
func TestNoMixOfSlowConnectionsDropsAWholeRequest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				p := pipes{make(chan net.Conn, 1)}
				l := LimitUnverified(p, roomFor*perConnection, func() {})
				var strangers []*caller
				for range 400 {
					switch n := random.IntN(10); {
					case n < 5 || len(strangers) == 0:
						strangers = append(strangers, call(t, l, p))
					case n < 9: // 1 to 20 bytes at random times
						strangers[random.IntN(len(strangers))].send(1 + random.IntN(20))
					default:
						time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
					}
					synctest.Wait()
					if held := l.(*connections).held; held > roomFor*perConnection {
						t.Fatalf("%d bytes are held", held)
					}
					if random.IntN(10) == 0 {
						honest := call(t, l, p)
						time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond) // a round trip
						honest.send(1200)
						synctest.Wait()
						if honest.dropped() {
							t.Fatal("a whole request was dropped")
						}
						verify(honest)
						_ = honest.client.Close()
					}
				}
				for _, one := range strangers {
					_ = one.client.Close()
				}
				synctest.Wait()
				if left := l.(*connections); left.held != 0 || len(left.waiting) != 0 {
					t.Errorf("%d bytes of %d connections are held after the last", left.held, len(left.waiting))
				}
			})
		})
	}
}
