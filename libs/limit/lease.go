package limit

import (
	"context"
	"sync"
	"time"
)

// lease has the slots of one key that this process has taken from Redis and not used yet. So a process that makes hundreds of calls a second
// needs one script call for several of them. An unused slot lapses soon after its time: slots that are saved and used together would be more
// calls in a second than the rate allows. With lapseAfter it is at most one percent more, for each process.
//
// Another process that pauses the key does not end a lease: at most mostLeased calls follow, within lapseAfter of their slots.
type lease struct {
	token chan struct{} // held during a call of Redis, so that concurrent callers share its slots
	rate  Rate

	next  time.Time // of the first slot that is left; in the past for a slot of a burst
	left  int
	since time.Time     // when the slots were taken from Redis
	last  time.Time     // when a caller came
	gap   time.Duration // the mean time between two callers
}

const (
	// leasedFrom is the longest interval of a rate whose slots are leased: 100 calls a second. At lower rates a call of Redis for each slot
	// costs little, and a slot that lapses is missed.
	leasedFrom = 10 * time.Millisecond
	lapseAfter = 10 * time.Millisecond
	mostLeased = 10
	// mostLeases is the number of keys with a lease; the slots of others are taken one by one. Only settings name keys with such rates.
	mostLeases = 1000
)

// lock waits for other callers. It returns false if ctx ends first.
func (l *lease) lock(ctx context.Context) bool {
	select {
	case <-l.token:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lease) unlock() { l.token <- struct{}{} }

// take returns the time until the first slot that is left, if there is one, and updates the mean gap.
func (l *lease) take(now time.Time) (wait time.Duration, held bool) {
	if gap := now.Sub(l.last); gap < lapseAfter {
		l.gap += (gap - l.gap) / 8
	} else {
		l.gap = lapseAfter
	}
	l.last = now
	for l.left > 0 && now.After(later(l.next, l.since).Add(lapseAfter)) {
		l.used()
	}
	return max(l.next.Sub(now), 0), l.left > 0
}

func (l *lease) used() { l.next, l.left = l.next.Add(l.rate.interval()), l.left-1 }

// want returns the number of slots that this process will use before they lapse.
func (l *lease) want() int {
	return int(min(lapseAfter/max(l.gap, time.Microsecond), mostLeased-1)) + 1
}

func (l *lease) add(now time.Time, ahead time.Duration, n int) {
	l.next, l.left, l.since = now.Add(ahead), n, now
}

// leases has the leases by key.
type leases struct {
	mu  sync.Mutex
	all map[string]*lease
}

// of returns the key's lease, or nil if slots of this rate are taken one by one.
func (s *leases) of(key string, rate Rate) *lease {
	if i := rate.interval(); i <= 0 || i > leasedFrom {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.all[key]
	switch {
	case l != nil && l.rate == rate:
		return l
	case l == nil && len(s.all) >= mostLeases:
		return nil
	case s.all == nil:
		s.all = map[string]*lease{}
	}
	l = &lease{token: make(chan struct{}, 1), rate: rate, gap: lapseAfter}
	l.unlock()
	s.all[key] = l
	return l
}

// drop ends the key's lease.
func (s *leases) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, key)
}
