package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Local limits the calls of one process. Its memory and the time of a call do not grow beyond mostKeys keys.
type Local struct {
	mu     sync.Mutex
	keys   map[string]place
	shared map[Rate][]place // of the keys beyond mostKeys, by their hash; made with the first of each rate
	seed   maphash.Seed
	now    func() time.Time

	tallies tallies
}

// place is where the calls under one key stand.
type place struct {
	next   time.Time // when the next place is, if calls were evenly spread
	paused time.Time // until when there is none
}

// isNew reports whether the place says nothing more: a key without one is treated alike.
func (p place) isNew(now time.Time) bool { return !p.next.After(now) && !p.paused.After(now) }

// NewLocal makes a limiter for one process.
func NewLocal() *Local {
	return &Local{keys: map[string]place{}, shared: map[Rate][]place{}, seed: maphash.MakeSeed(), now: time.Now}
}

const (
	// mostKeys is how many keys have a place of their own: more than the addresses that open links in a minute, and 2 MB.
	mostKeys = 10_000
	// sharedPlaces is how many places the keys beyond share. A key may then wait for others' calls, but no key that is over its rate is
	// freed early, as it would be if its place were given to another key.
	sharedPlaces = 4096
	// swept is how many keys a call looks at to find one that needs its place no more.
	swept = 16
)

// Take implements Limiter.
func (l *Local) Take(_ context.Context, key string, rate Rate, patience time.Duration) (time.Duration, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	p := l.place(key, rate)
	next := later(p.next, now)
	if p.paused.After(now) { // behind a pause there is no burst
		next = later(next, p.paused.Add(rate.burst()))
	}
	wait := max(next.Sub(now)-rate.burst(), 0)
	if wait > patience {
		return wait, false, nil
	}
	l.set(key, rate, place{next: next.Add(rate.interval()), paused: p.paused}, now)
	return wait, true, nil
}

// Pause implements Limiter. Only the keys of our own calls are paused, which the settings bound: each has its own place.
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

// place is the key's own place, or the one that it shares with keys of the same rate.
func (l *Local) place(key string, rate Rate) place {
	p, own := l.keys[key]
	if shared := l.shared[rate]; !own && shared != nil {
		return shared[l.hash(key)]
	}
	return p
}

func (l *Local) set(key string, rate Rate, p place, now time.Time) {
	_, own := l.keys[key]
	switch {
	case own || len(l.keys) < mostKeys || l.sweep(now):
		l.keys[key] = p
	case l.shared[rate] == nil:
		l.shared[rate] = make([]place, sharedPlaces)
		fallthrough
	default:
		l.shared[rate][l.hash(key)] = p
	}
}

// sweep drops keys that are as good as new, of a few that the map begins with, at random; it reports whether there was one.
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

func (l *Local) hash(key string) uint64 { return maphash.String(l.seed, key) % sharedPlaces }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
