package dedupe

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// batcher sends what concurrent callers want of Redis together: one script call, one write and one read for all that came
// while the last one was on its way. Alone, a caller is sent at once. It has no goroutine while there is nothing to
// do.
type batcher struct {
	send func(context.Context, []*want) error

	mu      sync.Mutex
	waiting []*want
	onWay   bool // a batch is; one at a time makes the deepest batches
}

// want is one caller's claims or confirmations.
type want struct {
	what   string   // "c" or "d", as batch.lua has it
	ids    []string // not yet keys
	values []string // of each id: the owner, or the entry

	answers []string // of each id
	epoch   string   // that stands
	known   string   // the epoch for which the claims were made
	err     error
	done    chan struct{}
}

const (
	// batchIDs bounds the ids in one batch, and so how long Redis works on it: about half a millisecond.
	batchIDs = 512
	// batchWithin bounds one batch, with the client's own repetition.
	batchWithin = 3 * time.Second
)

// do has w done, and returns when it is or ctx ends. In the second case it may be done all the same.
func (b *batcher) do(ctx context.Context, w *want) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.done = make(chan struct{})
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	if !b.onWay {
		b.onWay = true
		go b.run() //nolint:gosec // a batch is of many callers: it does not end with one of them
	}
	b.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run sends batches until nobody waits.
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

var (
	//go:embed batch.lua
	batchSource string
	batchScript = redis.NewScript(batchSource)
)

// sendBatch is one script call.
func (r *Redis) sendBatch(ctx context.Context, batch []*want) error {
	known := *r.known.Load()
	keys := []string{epochKey}
	words := []any{r.Remember.Milliseconds(), r.Lease.Milliseconds(), known}
	for _, w := range batch {
		for i, id := range w.ids {
			keys = append(keys, r.entries.name(id))
			words = append(words, w.what, w.values[i])
		}
	}
	answers, err := batchScript.Run(ctx, r.client, keys, words...).StringSlice()
	if err != nil {
		return err
	}
	if len(answers) != len(keys) {
		return fmt.Errorf("%d answers for %d keys", len(answers), len(keys))
	}
	rest := answers[1:]
	for _, w := range batch {
		w.epoch, w.known = answers[0], known
		w.answers, rest = rest[:len(w.ids)], rest[len(w.ids):]
	}
	return nil
}
