package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Local limits the calls of one process. Beyond mostKeys keys, neither its memory nor the time of a call grows.
type Local struct {
	mu     sync.Mutex
	keys   map[string]slot
	shared map[Rate][]slot // of the keys beyond mostKeys, by their hash; made with the first of each rate
	seed   maphash.Seed
	now    func() time.Time

	tallies tallies
}

// slot is the state of the calls under one key.
type slot struct {
	next   time.Time // the time of the next call, if calls were evenly spread
	paused time.Time // no call before this time
}

// isNew reports whether the slot has no effect any more, so that it can be dropped.
func (p slot) isNew(now time.Time) bool { return !p.next.After(now) && !p.paused.After(now) }

// NewLocal makes a limiter for one process.
func NewLocal() *Local {
	return &Local{keys: map[string]slot{}, shared: map[Rate][]slot{}, seed: maphash.MakeSeed(), now: time.Now}
}

const (
	// mostKeys is the number of keys that have their own slot: more than the addresses that open links in a minute, and 2 MB.
	mostKeys = 10_000
	// sharedSlots is the number of slots that the remaining keys share. Such a key may wait for calls of other keys. But a key over its rate
	// does not become free early, which could happen if its slot were reused for another key.
	sharedSlots = 4096
	// swept is the number of keys that a call checks for a slot without effect.
	swept = 16
)

// Take implements Limiter.
func (l *Local) Take(_ context.Context, key string, rate Rate, maxWait time.Duration) (time.Duration, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	p := l.slot(key, rate)
	next := later(p.next, now)
	if p.paused.After(now) { // there is no burst after a pause
		next = later(next, p.paused.Add(rate.burst()))
	}
	wait := max(next.Sub(now)-rate.burst(), 0)
	if wait > maxWait {
		return wait, false, nil
	}
	l.set(key, rate, slot{next: next.Add(rate.interval()), paused: p.paused}, now)
	return wait, true, nil
}

// Pause implements Limiter. Only the keys of outbound calls are paused. The settings bound their number, so each has its own slot.
func (l *Local) Pause(_ context.Context, key string, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.keys[key]
	p.paused = later(p.paused, l.now().Add(d))
	l.keys[key] = p
	return nil
}

// Count implements Limiter.
func (l *Local) Count(_ context.Context, id string, t Tally) (full int, room time.Duration, err error) {
	if !t.limited() {
		return Counted, 0, nil
	}
	full, room = l.tallies.count(l.now(), id, t)
	return full, room, nil
}

// slot returns the key's own slot, or the slot that it shares with keys of the same rate.
func (l *Local) slot(key string, rate Rate) slot {
	p, own := l.keys[key]
	if shared := l.shared[rate]; !own && shared != nil {
		return shared[l.hash(key)]
	}
	return p
}

func (l *Local) set(key string, rate Rate, p slot, now time.Time) {
	_, own := l.keys[key]
	switch {
	case own || len(l.keys) < mostKeys || l.sweep(now):
		l.keys[key] = p
	case l.shared[rate] == nil:
		l.shared[rate] = make([]slot, sharedSlots)
		fallthrough
	default:
		l.shared[rate][l.hash(key)] = p
	}
}

// sweep checks a few random keys and drops those whose slot has no effect any more. It reports whether it dropped one.
func (l *Local) sweep(now time.Time) bool {
	looked, found := 0, false
	for key, p := range l.keys {
		if p.isNew(now) {
			delete(l.keys, key)
			found = true
		}
		if looked++; looked == swept {
			break
		}
	}
	return found
}

func (l *Local) hash(key string) uint64 { return maphash.String(l.seed, key) % sharedSlots }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
