package observe_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// wire is a proxy between a program and a part. A test can cut it or make it silent.
type wire struct {
	addr string
	to   string

	mu       sync.Mutex
	repaired *sync.Cond
	state    state
	conns    map[net.Conn]bool
}

type state int

const (
	whole  state = iota
	cut          // connections end, and new ones end at once
	silent       // connections stay, new ones are accepted, and no data passes
)

func (s state) String() string { return [...]string{"whole", "cut", "silent"}[s] }

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	w.repaired = sync.NewCond(&w.mu)
	t.Cleanup(func() {
		_ = l.Close()
		w.set(cut)
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed
			}
			go w.join(in)
		}
	}()
	return w
}

func (w *wire) set(s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	if s == cut {
		for c := range w.conns {
			_ = c.Close()
		}
	}
	w.repaired.Broadcast()
}

// passes waits while the wire is silent, and then reports whether data may pass.
func (w *wire) passes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state == silent {
		w.repaired.Wait()
	}
	return w.state == whole
}

// keep closes the connection when the wire is cut.
func (w *wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
}

func (w *wire) join(in net.Conn) {
	defer func() { _ = in.Close() }()
	w.keep(in)
	if !w.passes() {
		return
	}
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	w.keep(out)
	go func() {
		w.copy(out, in)
		_ = out.Close()
	}()
	w.copy(in, out)
}

func (w *wire) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && w.passes() {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}
