package service

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The server closes a connection whose client sends its headers or its body too slowly. A client that sends the same at once gets a response.
// The test runs in synctest's simulated time, so the connections are pipes.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	for name, c := range map[string]struct {
		sent   string
		within time.Duration // well above the limits of 5 s and 15 s
		want   string
	}{
		"in its headers": {"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", 12 * time.Second, ""},
		"in its body":    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", 25 * time.Second, "HTTP/1.1 400"},
		"not at all":     {"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n123", 12 * time.Second, "HTTP/1.1 202"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newMemoryListener()
				server := servePublic(listener, handler, func() {}, slog.New(slog.DiscardHandler), make(chan error, 1), nil)
				defer func() { _ = server.server.Close() }()
				conn := listener.dial()
				defer func() { _ = conn.Close() }()
				if err := conn.SetDeadline(time.Now().Add(c.within)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(conn, c.sent); err != nil {
					t.Fatal(err)
				}
				response, err := io.ReadAll(conn) // until the server ends the connection
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Fatalf("the connection is still open after %v", c.within)
				}
				if !strings.HasPrefix(string(response), c.want) {
					t.Errorf("got %.60q, want %s", response, c.want)
				}
			})
		})
	}
}

// memoryListener is a listener whose connections are in memory.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *memoryListener) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func (p *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *memoryListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
