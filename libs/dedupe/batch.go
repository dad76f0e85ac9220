package dedupe

import (
	"context"
	"sync"
	"time"
)

// batcher sends the requests of concurrent callers to Redis together: one pipeline, one write and one read for all requests that
// arrived while the previous batch was in flight. A single request is sent at once. The batcher has no goroutine while it is idle.
type batcher struct {
	send func(context.Context, []*want) error

	mu      sync.Mutex
	waiting []*want
	onWay   bool // a batch is in flight; sending one at a time makes the largest batches
}

// want is one caller's request: its claims or its confirmations.
type want struct {
	confirm bool
	ids     []string // not yet names of keys
	values  []string // for each id: the owner (claim) or the entry (confirmation)

	// For each id of a claim:
	replies []string // as in batch.lua
	stamps  []*stamp // the state of its part of the store

	err  error
	done chan struct{}
}

const (
	// batchIDs bounds the ids in one batch, and so Redis's time for it: about half a millisecond.
	batchIDs = 512
	// batchWithin bounds one batch, including the client's own retries.
	batchWithin = 3 * time.Second
)

// do sends w and returns when the reply has arrived or ctx ends. If ctx ends first, the request may still be executed.
func (b *batcher) do(ctx context.Context, w *want) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.done = make(chan struct{})
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	if !b.onWay {
		b.onWay = true
		go b.run() //nolint:gosec // a batch serves many callers: the end of one caller's context must not end it
	}
	b.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run sends batches until no request waits.
func (b *batcher) run() {
	for {
		batch := b.take()
		if batch == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), batchWithin)
		err := b.send(ctx, batch)
		cancel()
		for _, w := range batch {
			if err != nil {
				w.err = err
			}
			close(w.done)
		}
	}
}

func (b *batcher) take() []*want {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ids := 0, 0
	for n < len(b.waiting) && (n == 0 || ids+len(b.waiting[n].ids) <= batchIDs) {
		ids += len(b.waiting[n].ids)
		n++
	}
	if n == 0 {
		b.onWay, b.waiting = false, nil
		return nil
	}
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	return batch
}
