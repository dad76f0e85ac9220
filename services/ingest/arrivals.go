package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
)

// arrivals counts the callbacks of each source, so that an operator sees a source that is silent, and callbacks that are refused. It writes a source's
// counts at its first callback and then at most once a minute: a flood of forged callbacks costs additions, not writes. The sources in the settings
// bound its memory.
type arrivals struct {
	env service.Env

	mu      sync.Mutex
	of      map[[2]string]*arrival // by provider and source
	writing sync.WaitGroup
}

type arrival struct {
	flow.Arrivals

	written time.Time // when it was written last
	timer   *time.Timer
}

// count counts a response to a callback of a source in the settings.
func (a *arrivals) count(provider, source string, r response) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[[2]string]*arrival{}
	}
	key := [2]string{provider, source}
	one := a.of[key]
	if one == nil {
		one = &arrival{}
		a.of[key] = one
	}
	switch {
	case r.outcome == challenged:
		return
	case r.status < 300:
		one.Accept(now)
	default:
		one.Refuse(r.reason, now)
	}
	if one.timer == nil {
		wait := max(0, flow.ArrivalsEvery-now.Sub(one.written))
		one.written = now.Add(wait)
		a.writing.Add(1)
		one.timer = time.AfterFunc(wait, func() {
			defer a.writing.Done()
			a.write(key)
		})
	}
}

// write adds a source's counts to its record. Counts that cannot be written wait for the next callback.
func (a *arrivals) write(key [2]string) {
	a.mu.Lock()
	one := a.of[key]
	counted := one.Arrivals
	one.Arrivals, one.timer = flow.Arrivals{}, nil
	a.mu.Unlock()
	if counted.Empty() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := flow.AddArrivals(ctx, a.env.JS, key[0], key[1], counted, time.Now()); err != nil {
		a.env.Log.DebugContext(ctx, "the callbacks of a source were not counted", "error", err)
	}
}

// close writes what is not written yet.
func (a *arrivals) close() {
	a.mu.Lock()
	var due [][2]string
	for key, one := range a.of {
		if one.timer != nil && one.timer.Stop() {
			due = append(due, key)
		}
	}
	a.mu.Unlock()
	for _, key := range due {
		a.write(key)
		a.writing.Done()
	}
	a.writing.Wait()
}
