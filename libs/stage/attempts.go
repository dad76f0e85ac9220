package stage

import (
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// decider decides what happens to an input after an attempt, once a delivery.
type decider struct {
	policy    flow.Policy
	postponed *postponed
	now       func() time.Time
}

// begin numbers the attempt before it is made.
func (d decider) begin(a *attempt) { d.postponed.count(a) }

// decide reads the outcome of the attempt, asks the clock, and keeps the decision in the attempt. Everything after it (the dead letter, the
// ack, the metrics, the log line) reads the decision, so a later clock time cannot change it.
func (d decider) decide(a *attempt, err error) {
	a.outcome = read(err)
	n := a.counted(d.policy, a.outcome.Since(), d.now())
	if !a.tried && a.number > 1 {
		// Another process had the earlier deliveries. Perhaps none of them was an attempt.
		n = min(n, max(d.policy.MaxAttempts-1, 1))
	}
	a.decision = decide(a.outcome, n, d.policy)
}

// retryInstead replaces a decision that could not be carried out, because a stream did not take a message. It reads no
// clock, and the result is always a retry: an input whose dead letter is not stored is never terminated.
func (d decider) retryInstead(a *attempt, away error) {
	a.outcome = read(away)
	a.decision = decide(a.outcome, 1, d.policy)
	if a.decision.Kind != retry {
		a.decision = Decision{Kind: retry, Reason: "publish", Delay: d.policy.FirstDelay, Spread: d.policy.FirstDelay}
	}
}

// end remembers how the delivery ended.
func (d decider) end(a *attempt) { d.postponed.note(a) }

// postponed counts the deliveries of an input that were not attempts, because one of our own parts was unavailable or because we chose to
// wait. The broker counts all deliveries, so each process remembers the deliveries that it postponed. Deliveries that a process does not
// know, such as those before its restart, count as attempts. But a process never gives an input up at the first failure that it sees.
type postponed struct {
	mu          sync.Mutex
	now, before map[place]deliveries
}

// deliveries counts the deliveries of one input.
type deliveries struct {
	uncounted int  // deliveries that do not count
	away      int  // uncounted deliveries during which one of our own parts was unavailable
	tried     bool // this process has made an attempt that counts
}

// most limits each of the two halves: twice the messages that all replicas together have in flight, some 2 MB.
const most = 20_000

func newPostponed() *postponed { return &postponed{now: map[place]deliveries{}} }

func (a *attempt) place() place {
	return place{stream: a.meta.Stream, sequence: a.meta.Sequence.Stream}
}

// count numbers the attempt.
func (p *postponed) count(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.find(a.place())
	a.counts, a.nth, a.tried = max(a.number-known.uncounted, 1), max(a.number-known.away, 1), known.tried
}

func (p *postponed) find(at place) deliveries {
	if known, ok := p.now[at]; ok {
		return known
	}
	return p.before[at]
}

// note remembers how a delivery ended.
func (p *postponed) note(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := a.place()
	known := p.find(at)
	switch {
	case a.decision.Kind != retry:
		delete(p.now, at)
		delete(p.before, at)
		return
	case counts(a.outcome):
		known.tried = true
	case known.tried:
		known.uncounted++
	default:
		known.uncounted = a.number // all processes postponed the earlier deliveries because of the same problem
	}
	if a.away() {
		known.away++
	}
	if len(p.now) >= most {
		p.now, p.before = map[place]deliveries{}, p.now
	}
	p.now[at] = known
}

// away reports whether one of our own parts (the broker, the dedupe store) was unavailable.
func (a *attempt) away() bool { return a.outcome.Kind() == outcome.Waits && a.outcome.After() == 0 }

// rest returns the time for which a worker waits before the next input, after one of our own parts was unavailable. Without the rest, the
// worker would take and postpone the whole backlog again and again.
func (a *attempt) rest(p flow.Policy) time.Duration {
	if a.away() {
		return p.FirstDelay
	}
	return 0
}
