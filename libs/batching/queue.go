// Package batching lets concurrent callers share one request to a server.
package batching

import (
	"context"
	"sync"
	"time"
)

// Queue sends the values of concurrent callers together: a batch has all values that arrived while the previous batch was in flight. One
// batch at a time makes the largest batches. A single value is sent at once. The queue has no goroutine while it is idle.
type Queue[T any] struct {
	// Send sends a batch in the order of the calls. The end of a caller's context does not end its context.
	Send func(ctx context.Context, batch []T)
	// Within bounds one call of Send.
	Within time.Duration
	// Size returns the number of messages or ids in a value, and its bytes.
	Size func(T) (count, bytes int)
	// MaxCount and MaxBytes bound a batch; 0 means no limit. A larger value is sent alone.
	MaxCount, MaxBytes int

	mu      sync.Mutex
	waiting []*entry[T]
	sending bool
	runs    sync.WaitGroup
}

type entry[T any] struct {
	value T
	taken bool          // its batch is in flight
	done  chan struct{} // closed when the batch was sent; nil for Add
}

// Do adds a value and returns when its batch was sent, or when ctx ends. If ctx ends first, Do returns its error, and sent reports whether
// the batch is in flight; otherwise the value is never sent.
func (q *Queue[T]) Do(ctx context.Context, value T) (sent bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	e := &entry[T]{value: value, done: make(chan struct{})}
	q.add(e)
	select {
	case <-e.done:
		return true, nil
	case <-ctx.Done():
		return q.leave(e), ctx.Err()
	}
}

// Add adds a value, does not wait, and returns the number of values that wait.
func (q *Queue[T]) Add(value T) (waiting int) { return q.add(&entry[T]{value: value}) }

// Wait waits until all values are sent. No value may be added at the same time.
func (q *Queue[T]) Wait() { q.runs.Wait() }

func (q *Queue[T]) add(e *entry[T]) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, e)
	if !q.sending {
		q.sending = true
		q.runs.Go(q.run)
	}
	return len(q.waiting)
}

// leave removes an entry that waits, and reports whether its batch is already in flight.
func (q *Queue[T]) leave(e *entry[T]) (sent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.waiting {
		if other == e {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			break
		}
	}
	return e.taken
}

// run sends batches until nothing waits.
func (q *Queue[T]) run() {
	growStack()
	for {
		entries := q.take()
		if entries == nil {
			return
		}
		batch := make([]T, len(entries))
		for i, e := range entries {
			batch[i] = e.value
		}
		ctx, cancel := context.WithTimeout(context.Background(), q.Within)
		q.Send(ctx, batch)
		cancel()
		for _, e := range entries {
			if e.done != nil {
				close(e.done)
			}
		}
	}
}

// growStack makes the stack of a new goroutine large enough for the calls of a client library. The runtime doubles a stack and copies it each
// time that it is too small: a call of Redis needs four copies, and such copies took 5 % of a sender's CPU. Here the stack is still empty.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	use(&room)
}

//go:noinline
func use(*[12 << 10]byte) {}

// take removes the next batch; nil if nothing waits.
func (q *Queue[T]) take() []*entry[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, count, bytes := 0, 0, 0
	for _, e := range q.waiting {
		c, b := q.Size(e.value)
		count, bytes = count+c, bytes+b
		if n > 0 && (q.MaxCount > 0 && count > q.MaxCount || q.MaxBytes > 0 && bytes > q.MaxBytes) {
			break
		}
		e.taken = true
		n++
	}
	if n == 0 {
		q.sending, q.waiting = false, nil
		return nil
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return batch
}
