package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
)

// confirmTimeout bounds the confirmations of one callback. It is shorter than the lease.
const confirmTimeout = 5 * time.Second

// confirm confirms our claims of events that are stored. It runs after the response, because the claim itself already covers a crash: an expired
// claim makes the next owner search the log.
func (s *store) confirm(ctx context.Context, done []dedupe.Done) {
	if len(done) == 0 {
		return
	}
	defer s.unsettled.remove(done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
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
