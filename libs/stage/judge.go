package stage

import (
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

// judge decides what happens to an input after an attempt, once a delivery.
type judge struct {
	policy  flow.Policy
	putOffs *putOffs
}

// of decides the verdict from the result of the attempt. A caller that cannot carry out the verdict calls it again with the reason.
func (j judge) of(a *attempt, err error) Verdict {
	n := a.counted(j.policy, err)
	if !a.tried && a.number > 1 {
		// Earlier deliveries were another process's: perhaps none of them was an attempt.
		n = min(n, max(j.policy.MaxAttempts-1, 1))
	}
	v := Decide(err, n, j.policy)
	j.putOffs.note(a, v.Kind, err)
	return v
}

// putOffs counts the deliveries of an input that were no attempts, because one of our own parts was away or because we chose to
// wait. The broker counts all deliveries; so each process remembers those that it put off itself. What a process does not know
// of, such as after its restart, counts as an attempt, but the first failure that it sees never gives an input up.
type putOffs struct {
	mu          sync.Mutex
	now, before map[place]putOff
}

type putOff struct {
	deliveries int  // that do not count
	away       int  // of them those in which one of our own parts was away
	tried      bool // this process has made an attempt that did count
}

// most limits each of the two halves: twice the messages that all replicas together have in flight, some 2 MB.
const most = 20_000

func newPutOffs() *putOffs { return &putOffs{now: map[place]putOff{}} }

func (a *attempt) place() place {
	return place{stream: a.meta.Stream, sequence: a.meta.Sequence.Stream}
}

// count says which attempt it is.
func (p *putOffs) count(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.find(a.place())
	a.counts, a.nth, a.tried = max(a.number-known.deliveries, 1), max(a.number-known.away, 1), known.tried
}

func (p *putOffs) find(at place) putOff {
	if known, ok := p.now[at]; ok {
		return known
	}
	return p.before[at]
}

// note remembers how a delivery ended.
func (p *putOffs) note(a *attempt, kind Kind, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := a.place()
	known := p.find(at)
	said := listen(err)
	switch {
	case kind != retry:
		delete(p.now, at)
		delete(p.before, at)
		return
	case !said.ours:
		known.tried = true
	case known.tried:
		known.deliveries++
	default:
		known.deliveries = a.number // every process that put off the earlier ones did so for the same problem
	}
	if said.ours && said.after == 0 {
		known.away++
	}
	if len(p.now) >= most {
		p.now, p.before = map[place]putOff{}, p.now
	}
	p.now[at] = known
}

// rest is how long a worker waits after one of our own parts was away before it takes another input: else all that waits would
// be taken and put off again and again meanwhile.
func rest(err error, p flow.Policy) time.Duration {
	if said := listen(err); said.ours && said.after == 0 {
		return p.FirstDelay
	}
	return 0
}
