// Package limit keeps calls below a provider's or vendor's rate limit: for all replicas together if there is a Redis, otherwise for one
// process. It also counts items against quotas and has a circuit breaker.
package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
)

// Rate is the rate of calls that a remote API allows.
type Rate struct {
	Count int           // calls …
	Per   time.Duration // … in this time, evenly spread
	Burst int           // calls allowed at once; at least 1
}

// interval returns the time between two calls.
func (r Rate) interval() time.Duration { return r.Per / time.Duration(max(r.Count, 1)) }

// burst returns the time by which calls may run ahead of an even spread.
func (r Rate) burst() time.Duration { return r.interval() * time.Duration(max(r.Burst, 1)-1) }

// Limiter provides slots for calls. Every implementation passes the same tests.
type Limiter interface {
	// Take takes the next slot under a key and returns the time until that slot; the caller waits that long before it calls. If the wait is
	// longer than maxWait, Take does not take the slot: it returns the time until the slot, and false.
	Take(ctx context.Context, key string, rate Rate, maxWait time.Duration) (wait time.Duration, taken bool, err error)

	// Pause stops slots under a key for d, because the remote API requested it (Retry-After).
	Pause(ctx context.Context, key string, d time.Duration) error

	// Count counts the item with that id once, for any number of calls, and returns Counted. If a quota is full, it does not count the item
	// anywhere. Then it returns the index of the first full quota, and the time after which that quota has room. The index counts the quotas
	// first, then the totals. In a Redis Cluster the time for a total is 0.
	Count(ctx context.Context, id string, t Tally) (full int, room time.Duration, err error)
}

// LaterError means that the call was not made, because the next slot is too late or the circuit is open.
type LaterError struct {
	After   time.Duration
	Circuit bool // the circuit is open
}

func (e *LaterError) Error() string {
	if e.Circuit {
		return fmt.Sprintf("the circuit is open because every call fails; try again in %v", e.After)
	}
	return fmt.Sprintf("over the rate limit; a slot is free in %v", e.After)
}

// Outcome returns err, whose chain holds e, as an outcome: nothing was tried.
func (e *LaterError) Outcome(err error) error {
	if e.Circuit {
		return outcome.NotTried(e.After, "circuit-open", err)
	}
	return outcome.NotTried(e.After, "rate-limit", err)
}

// Wait takes a slot and waits for it. It fails with a *LaterError if the wait would be longer than maxWait, and with ctx's error if ctx ends
// first.
func Wait(ctx context.Context, l Limiter, key string, rate Rate, maxWait time.Duration) error {
	wait, taken, err := l.Take(ctx, key, rate, maxWait)
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
