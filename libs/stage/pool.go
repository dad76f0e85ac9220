package stage

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// slowAfter is the time after which an attempt is slow, and the time for which a prefetched message waits for a worker. It is a quarter of
// flow.AckWait: a message must be begun, and its lease extended, before the server delivers it to another replica.
const slowAfter = time.Second

// pool runs attempts on a fixed number of workers.
type pool struct {
	work func(jetstream.Msg) (rest time.Duration) // makes one attempt; the worker then rests

	inputs chan jetstream.Msg
	idle   chan struct{} // one value for each idle worker
	held   bool          // await has taken a value from idle that begin has not used; only the caller of await uses it
	// stuck is the number of attempts that must be fast before messages are prefetched again.
	stuck   atomic.Int32
	workers sync.WaitGroup
}

// newPool starts workers that end when close is called.
func newPool(workers int, work func(jetstream.Msg) time.Duration, ends <-chan struct{}) *pool {
	p := &pool{work: work, inputs: make(chan jetstream.Msg), idle: make(chan struct{}, workers)}
	for range workers {
		p.idle <- struct{}{}
		p.workers.Go(func() { p.run(workers, ends) })
	}
	return p
}

func (p *pool) run(workers int, ends <-chan struct{}) {
	for msg := range p.inputs {
		begun := time.Now()
		rest := p.work(msg)
		p.note(time.Since(begun), workers)
		if rest > 0 {
			select {
			case <-ends:
			case <-time.After(rest):
			}
		}
		p.idle <- struct{}{}
	}
}

// note records the time of an attempt.
func (p *pool) note(took time.Duration, workers int) {
	if took >= slowAfter {
		p.stuck.Store(int32(2 * workers))
		return
	}
	if p.stuck.Load() > 0 {
		p.stuck.Add(-1)
	}
}

// slow reports whether one of the last attempts was slow.
func (p *pool) slow() bool { return p.stuck.Load() > 0 }

// await waits until a worker is idle, which begin then uses. It returns false if ctx ends first, or after the limit; 0 is no limit.
// After the limit, attempts count as slow.
func (p *pool) await(ctx context.Context, limit time.Duration) bool {
	if p.held {
		return true
	}
	select {
	case <-p.idle:
		p.held = true
		return true
	default:
	}
	var expired <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-p.idle:
		p.held = true
	case <-expired:
		p.note(limit, cap(p.idle))
	case <-ctx.Done():
	}
	return p.held
}

// begin passes a message to the worker for which await has waited.
func (p *pool) begin(msg jetstream.Msg) {
	p.held = false
	p.inputs <- msg
}

// close waits until all attempts have ended.
func (p *pool) close() {
	close(p.inputs)
	p.workers.Wait()
}
