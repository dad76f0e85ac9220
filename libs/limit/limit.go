// Package limit keeps calls below another side's rate, for all replicas together where there is a Redis, and within one
// process where there is none.
package limit

import (
	"context"
	"fmt"
	"time"
)

// Rate is how many calls another side takes.
type Rate struct {
	Count int           // calls …
	Per   time.Duration // … in this time, evenly spread
	Burst int           // calls that may come at once; at least 1
}

// interval is the time between two calls.
func (r Rate) interval() time.Duration { return r.Per / time.Duration(max(r.Count, 1)) }

// burst is how far calls may run ahead of an even spread.
func (r Rate) burst() time.Duration { return r.interval() * time.Duration(max(r.Burst, 1)-1) }

// Limiter gives out places. Every implementation passes the same tests.
type Limiter interface {
	// Take takes the next place under a key and returns how long it is until then; who waits that long may call. A place
	// that is more than patience away is not taken: then it returns how far away it is, and false.
	Take(ctx context.Context, key string, rate Rate, patience time.Duration) (wait time.Duration, taken bool, err error)

	// Pause gives out no place under a key for so long: the other side has said when to come again.
	Pause(ctx context.Context, key string, d time.Duration) error

	// Count counts the thing of that id once, however often it is called. It returns the index of the first quota that is full, those
	// of the totals behind the others, and counts the thing nowhere then; else Counted.
	Count(ctx context.Context, id string, t Tally) (full int, err error)
}

// LaterError means that no place was near enough, or that the other side's circuit is open.
type LaterError struct {
	After   time.Duration
	Circuit bool // it is the circuit
}

func (e *LaterError) Error() string {
	if e.Circuit {
		return fmt.Sprintf("the circuit is open, because every call fails; try again in %v", e.After)
	}
	return fmt.Sprintf("over the rate limit; a place is free in %v", e.After)
}

// Wait takes a place and waits for it. It fails with a *LaterError where it is more than patience away, and with ctx's
// error when that ends first.
func Wait(ctx context.Context, l Limiter, key string, rate Rate, patience time.Duration) error {
	wait, taken, err := l.Take(ctx, key, rate, patience)
	switch {
	case err != nil:
		return err
	case !taken:
		return &LaterError{After: wait}
	case wait <= 0:
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
