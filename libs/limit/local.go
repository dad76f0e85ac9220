package limit

import (
	"context"
	"sync"
	"time"
)

// Local limits the calls of one process.
type Local struct {
	mu   sync.Mutex
	keys map[string]place
	now  func() time.Time

	tallies tallies
}

// place is where the calls under one key stand.
type place struct {
	next   time.Time // when the next place is, if calls were evenly spread
	paused time.Time // until when there is none
}

// NewLocal makes a limiter for one process.
func NewLocal() *Local { return &Local{keys: map[string]place{}, now: time.Now} }

// mostKeys is how many keys are kept, some 100 bytes each, before those that no longer matter are dropped.
const mostKeys = 10_000

// Take implements Limiter.
func (l *Local) Take(_ context.Context, key string, rate Rate, patience time.Duration) (time.Duration, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	p := l.keys[key]
	next := later(p.next, now)
	if p.paused.After(now) { // behind a pause there is no burst
		next = later(next, p.paused.Add(rate.burst()))
	}
	wait := max(next.Sub(now)-rate.burst(), 0)
	if wait > patience {
		return wait, false, nil
	}
	if len(l.keys) >= mostKeys {
		l.forget(now)
	}
	l.keys[key] = place{next: next.Add(rate.interval()), paused: p.paused}
	return wait, true, nil
}

// Pause implements Limiter.
func (l *Local) Pause(_ context.Context, key string, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.keys[key]
	p.paused = later(p.paused, l.now().Add(d))
	l.keys[key] = p
	return nil
}

// Count implements Limiter.
func (l *Local) Count(_ context.Context, id string, t Tally) (int, error) {
	return l.tallies.count(l.now(), id, t), nil
}

// forget drops the keys that are as good as new.
func (l *Local) forget(now time.Time) {
	for key, p := range l.keys {
		if p.next.Before(now) && p.paused.Before(now) {
			delete(l.keys, key)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
