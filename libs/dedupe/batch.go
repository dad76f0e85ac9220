package dedupe

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/batching"
)

// request is one caller's claims or confirmations. Concurrent callers share one pipeline: one write and one read.
type request struct {
	confirm bool
	ids     []string // not yet names of keys
	values  []string // for each id: the owner (claim) or the entry (confirmation)

	// For each id of a claim:
	replies []string // as in batch.lua
	stamps  []*stamp // the state of its part of the store

	err error
}

const (
	// batchIDs bounds the ids in one batch, and so Redis's time for it: about half a millisecond.
	batchIDs = 512
	// batchWithin bounds one batch, including the client's own retries.
	batchWithin = 3 * time.Second
)

// newBatches returns the queue of requests to Redis.
func (r *Redis) newBatches() *batching.Queue[*request] {
	return &batching.Queue[*request]{
		Send: func(ctx context.Context, batch []*request) {
			if err := r.sendBatch(ctx, batch); err != nil {
				for _, one := range batch {
					one.err = err
				}
			}
		},
		Within: batchWithin, MaxCount: batchIDs,
		Size: func(one *request) (count, bytes int) { return len(one.ids), 0 },
	}
}

// do sends a request and returns when the reply has arrived or ctx ends. If ctx ends first, the request may still be executed.
func (r *Redis) do(ctx context.Context, one *request) error {
	if _, err := r.batches.Do(ctx, one); err != nil {
		return err
	}
	return one.err
}
