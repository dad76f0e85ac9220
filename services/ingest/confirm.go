package ingest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/batching"
	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
)

// confirmTimeout bounds one batch of confirmations. It is shorter than the lease.
const confirmTimeout = 5 * time.Second

// confirmMost bounds the ids in one confirmation, as in one batch of the dedupe store.
const confirmMost = 512

// newConfirmations returns the queue of confirmations. They follow the response, because the claim itself already covers a crash: an expired
// claim makes the next owner search the log. They do not hold up the connection, which can carry the next callback.
func (s *store) newConfirmations() *batching.Queue[[]dedupe.Done] {
	return &batching.Queue[[]dedupe.Done]{
		Send:   func(ctx context.Context, batch [][]dedupe.Done) { s.confirm(ctx, slices.Concat(batch...)) },
		Within: confirmTimeout, MaxCount: confirmMost,
		Size: func(done []dedupe.Done) (count, bytes int) { return len(done), 0 },
	}
}

// confirm confirms our claims of events that are stored.
func (s *store) confirm(ctx context.Context, done []dedupe.Done) {
	if len(done) == 0 {
		return
	}
	defer s.unsettled.remove(done)
	if s.memory.Confirm(ctx, done...) != nil {
		s.metrics.unconfirmed.Add(float64(len(done)))
		// The claims remain in Redis, unless the failure removes them too. If the mark also fails, only the claims show the gap.
		_ = s.gaps.Mark(ctx)
	}
	crash.Point("confirmed")
}

// unsettled has the ids that this process has stored and not confirmed yet. A retry of the provider within these milliseconds is a duplicate; other
// replicas respond that the id is held.
type unsettled struct {
	mu  sync.Mutex
	ids map[string]int // the number of confirmations in flight
}

func (u *unsettled) add(done []dedupe.Done) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = map[string]int{}
	}
	for _, d := range done {
		u.ids[d.ID]++
	}
}

func (u *unsettled) remove(done []dedupe.Done) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range done {
		if u.ids[d.ID] > 1 {
			u.ids[d.ID]--
		} else {
			delete(u.ids, d.ID)
		}
	}
}

func (u *unsettled) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ids[id] > 0
}
