package limit

import (
	"sync"
	"time"
)

// Breaker stops calls to another side that fails every one of them. While it is open one call at a time goes through as a
// probe, after longer and longer pauses; the first call that works closes it. The zero value is not ready: use NewBreaker.
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

// Pauses says how a breaker behaves.
type Pauses struct {
	OpensAfter int           // failures in a row; 0: it is only opened by hand
	First      time.Duration // pause before the first probe; it doubles with each that fails
	Longest    time.Duration
}

// NewBreaker returns a closed breaker. It calls changed when it opens, with the reason, and when it closes. changed may be nil.
func NewBreaker(p Pauses, changed func(open bool, reason string)) *Breaker {
	if changed == nil {
		changed = func(bool, string) {}
	}
	return &Breaker{opensAfter: p.OpensAfter, first: p.First, longest: p.Longest, changed: changed, closed: time.Now()}
}

// Result is what a call says about the other side.
type Result int

// What a call can say about the other side.
const (
	Nothing Result = iota // it was not made, or ended on our side
	Works
	Fails
)

// Pass is leave to make one call. End it in every case.
type Pass struct {
	b     *Breaker
	probe bool
}

// Begin asks for leave to make a call. Where there is none, wait is how long to stay away; 0 means go.
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

// End says how the call went. reason is why the breaker opens, if this failure opens it.
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
	case Nothing:
	case Works:
		b.failures, b.worked = 0, time.Now()
		b.close()
	case Fails:
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

// Open opens the breaker by hand, for a failure that affects every other call too.
func (b *Breaker) Open(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason == "" {
		b.open(reason)
	}
}

// Close closes it by hand: the next call goes through.
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

// State is why the breaker is open (empty while it is closed), when a call last worked, and when it was last closed or made.
func (b *Breaker) State() (reason string, worked, closed time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason, b.worked, b.closed
}
