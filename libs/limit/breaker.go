package limit

import (
	"sync"
	"time"
)

// Breaker is a circuit breaker: it stops calls to a remote API that fails every call. While it is open, it lets one call at a time through as
// a probe, after pauses that double. The first call that succeeds closes it. The zero value is not ready: use NewBreaker.
type Breaker struct {
	opensAfter     int
	first, longest time.Duration
	changed        func(open bool, reason string)

	mu       sync.Mutex
	failures int    // in a row
	reason   string // why it is open; empty while it is closed
	probing  bool
	pause    time.Duration // before the next probe
	next     time.Time     // when the next probe may go
	worked   time.Time     // when a call last worked
	closed   time.Time     // when it was last closed, or made
}

// BreakerOptions configures a breaker.
type BreakerOptions struct {
	OpensAfter int           // failures in a row; 0: only Open opens it
	First      time.Duration // pause before the first probe; it doubles with each failed probe
	Longest    time.Duration
}

// NewBreaker returns a closed breaker. It calls changed when it opens, with the reason, and when it closes. changed may be nil.
func NewBreaker(p BreakerOptions, changed func(open bool, reason string)) *Breaker {
	if changed == nil {
		changed = func(bool, string) {}
	}
	return &Breaker{opensAfter: p.OpensAfter, first: p.First, longest: p.Longest, changed: changed, closed: time.Now()}
}

// Result is the result of a call for the breaker.
type Result int

// Results of a call.
const (
	Inconclusive Result = iota // the call was not made, or the caller cancelled it
	Success
	Failure
)

// Pass is permission to make one call. Always call End.
type Pass struct {
	b     *Breaker
	probe bool
}

// Begin asks for permission to make a call. A wait above 0 means no: try again after wait.
func (b *Breaker) Begin() (pass Pass, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason == "" {
		return Pass{b: b}, 0
	}
	if wait := time.Until(b.next); b.probing || wait > 0 {
		return Pass{}, max(wait, b.first)
	}
	b.probing = true
	return Pass{b: b, probe: true}, 0
}

// End reports the result of the call. reason becomes the breaker's reason if this failure opens it.
func (p Pass) End(r Result, reason string) {
	b := p.b
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.probe {
		b.probing = false
	}
	switch r {
	case Inconclusive:
	case Success:
		b.failures, b.worked = 0, time.Now()
		b.close()
	case Failure:
		b.failures++
		switch {
		case p.probe && b.reason != "":
			b.pause = min(2*b.pause, b.longest)
			b.next = time.Now().Add(b.pause)
		case b.reason == "" && b.opensAfter > 0 && b.failures >= b.opensAfter:
			b.open(reason)
		}
	}
}

// Open opens the breaker, for a failure that affects every other call too.
func (b *Breaker) Open(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason == "" {
		b.open(reason)
	}
}

// Close closes the breaker: the next call goes through.
func (b *Breaker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	b.close()
}

func (b *Breaker) open(reason string) {
	b.reason, b.pause, b.next = reason, b.first, time.Now().Add(b.first)
	b.changed(true, reason)
}

func (b *Breaker) close() {
	if b.reason == "" {
		return
	}
	b.changed(false, b.reason)
	b.reason, b.closed = "", time.Now()
}

// Next returns when the next probe may go; zero while the breaker is closed.
func (b *Breaker) Next() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason == "" {
		return time.Time{}
	}
	return b.next
}

// State returns the reason why the breaker is open (empty while it is closed), when a call last worked, and when it was last closed or made.
func (b *Breaker) State() (reason string, worked, closed time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason, b.worked, b.closed
}
