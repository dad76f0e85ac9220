package service

import (
	"container/heap"
	"context"
	"crypto/tls"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// UnverifiedBytes is the memory that all unverified requests of one listener may use: 2,600
// connections, or about 30 bodies of 1 MiB.
const UnverifiedBytes = 64 << 20

// The memory of a connection in bytes, measured with 3,000 connections.
const (
	perConnection = 24 << 10 // its goroutine and the two 4 KiB buffers of net/http
	perByte       = 2        // for each byte of a request: the byte itself, and the free space of a growing buffer
)

// progressCredit is the initial progress of a connection, in bytes: it may be silent for about as long as a connection that sent
// this number of bytes at once.
const progressCredit = 4 << 10

// LimitUnverified returns a listener whose connections hold at most budget bytes in memory before their requests are verified. If they exceed
// the budget, the listener drops the slowest connection: it recently sent the fewest bytes for the memory that it holds. The weight of each
// sent byte halves every second. So a client that keeps a connection and sends little, or that stops sending, does not delay a client that
// sends a whole request at once. The listener calls dropped for each dropped connection; dropped must not block.
func LimitUnverified(l net.Listener, budget int64, dropped func()) net.Listener {
	return &connections{Listener: l, budget: budget, dropped: dropped, began: time.Now()}
}

type connections struct {
	net.Listener
	budget  int64
	dropped func()
	began   time.Time

	mu      sync.Mutex
	held    int64
	waiting bySpeed
}

// connection counts towards the budget while it is in the heap waiting. After its request is verified, it does not count until the next
// request begins.
type connection struct {
	net.Conn
	of *connections

	// of.mu guards these.
	received int64   // bytes of this request
	progress float64 // logarithm of the bytes sent lately, see advance
	index    int     // in of.waiting; -1 if it is not in it
	slow     bool    // dropped
	closed   bool
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, of: l, index: -1, progress: math.Inf(-1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.advance(progressCredit)
	l.count(c)
	return c, nil
}

// advance adds bytes to the progress of c. Progress halves each second, so the logarithm of every connection's progress falls by 1 a second.
// The logarithm plus the time therefore orders the connections at any time.
func (c *connection) advance(bytes int) {
	now := time.Since(c.of.began).Seconds()
	c.progress = now + math.Log2(math.Exp2(c.progress-now)+float64(bytes))
}

// speed returns the progress per byte of memory that c holds.
func (c *connection) speed() float64 { return c.progress - math.Log2(float64(c.cost())) }

func (c *connection) cost() int64 { return perConnection + perByte*c.received }

// count adds c to the budget; from then on c may be dropped.
func (l *connections) count(c *connection) {
	l.held += c.cost()
	heap.Push(&l.waiting, c)
	l.makeRoom()
}

// discount removes c from the budget.
func (l *connections) discount(c *connection) {
	if c.index >= 0 {
		heap.Remove(&l.waiting, c.index)
		l.held -= c.cost()
	}
}

func (l *connections) makeRoom() {
	for l.held > l.budget && len(l.waiting) > 0 {
		c := l.waiting[0]
		l.discount(c)
		c.slow = true
		_ = c.Conn.SetReadDeadline(longAgo)
		l.dropped()
	}
}

var longAgo = time.Unix(1, 0)

// SlowError is the error of a read from a dropped connection.
type SlowError struct{}

func (SlowError) Error() string {
	return "the listener is full, and this connection is among its slowest"
}

// Timeout implements net.Error: net/http then closes the connection without a response, unless a handler is reading.
func (SlowError) Timeout() bool { return true }

// Temporary implements net.Error.
func (SlowError) Temporary() bool { return false }

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > 0 && c.index >= 0 {
		c.received += int64(n)
		l.held += perByte * int64(n)
		c.advance(n)
		heap.Fix(&l.waiting, c.index)
		l.makeRoom()
	}
	if c.slow {
		return 0, SlowError{}
	}
	return n, err
}

// SetReadDeadline implements net.Conn; the deadline of a dropped connection remains in the past.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.slow {
		t = longAgo
	}
	return c.Conn.SetReadDeadline(t)
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.of.mu.Lock()
	c.of.discount(c)
	c.closed = true
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http close a connection so that its last response arrives.
func (c *connection) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

type connectionKey struct{}

// countRequests makes a server notify its connections when a request begins and when it is verified.
func countRequests(server *http.Server) {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if secure, ok := c.(*tls.Conn); ok {
			c = secure.NetConn()
		}
		return context.WithValue(ctx, connectionKey{}, c)
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		if c, ok := conn.(*connection); ok && state == http.StateIdle {
			c.next()
		}
	}
}

// next starts to count the next request. The progress continues: a response earns no credit.
func (c *connection) next() {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	l.discount(c)
	c.received = 0
	if !c.closed && !c.slow {
		l.count(c)
	}
}

// Verified reports that the request with this context is authentic: its connection is not dropped for being slow, and its memory is not
// counted, until its next request begins.
func Verified(ctx context.Context) {
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		c.of.discount(c)
	}
}

// bySpeed is a heap, the slowest connection first.
type bySpeed []*connection

func (h bySpeed) Len() int           { return len(h) }
func (h bySpeed) Less(i, j int) bool { return h[i].speed() < h[j].speed() }

func (h bySpeed) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *bySpeed) Push(x any) {
	c := x.(*connection) //nolint:forcetypeassert // the heap has only connections
	c.index = len(*h)
	*h = append(*h, c)
}

// Pop implements heap.Interface.
func (h *bySpeed) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h, c.index = (*h)[:last], -1
	return c
}
