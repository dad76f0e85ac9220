package dedupe

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Backend is the backend of a store: *Redis or *Bucket.
type Backend interface {
	// claim is Store.Claim, and also returns the epoch. Without an epoch it claims nothing and returns "".
	claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error)
	// begin starts an epoch now, unless there is one. last is the log's last sequence.
	begin(ctx context.Context, last uint64) error

	Confirm(ctx context.Context, done ...Done) error
	Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error
}

// Log is the part of the log of events that the guard needs.
type Log interface {
	// Bounds returns the first sequence still held and the last ever stored, 0 for nothing.
	Bounds(ctx context.Context) (first, last uint64, err error)
}

// Guard is a Store that knows the gaps of its backend. Where unremembered work may have been done it returns Pending instead of Claimed.
// There are three kinds of gap.
//
// The backend lost everything (it was emptied or replaced): the epoch, the first entry of an empty backend, is gone. The new epoch contains
// the log's last sequence at that moment, so the guard knows whether the log holds earlier events. A new installation has an empty log, and
// no gap.
//
// Events were stored while the backend was unavailable: the stage that stores them marks the gap in Gaps, where all replicas see it.
//
// The master key changed: names of ids depend on it, so no earlier entry is found. An epoch belongs to one key. A replica that finds the
// epoch of another key starts its own before it claims. So while some replicas have the old key and some the new one, each replica treats
// events that were stored in the others' epochs as a gap.
//
// A backend that was restored from a backup still has its epoch, so the guard does not notice. Remove the key signrelay:epoch after such a
// restore.
//
// Each gap closes by itself after Options.Remember.
type Guard struct {
	backend  Backend
	log      Log
	gaps     *Gaps // nil where marked gaps do not matter
	remember time.Duration
	verdict  atomic.Pointer[verdict]
}

// verdict is a cached result for an epoch: whether everything that matters happened in it, and when the result expires.
type verdict struct {
	epoch   string
	covers  bool
	expires time.Time
}

// NewGuard makes a Store of a backend that was opened with o.
func NewGuard(k Backend, log Log, gaps *Gaps, o Options) *Guard {
	if o.Waits {
		gaps = nil // only entries that the backend lost matter
	}
	return &Guard{backend: k, log: log, gaps: gaps, remember: o.Remember}
}

// Claim implements Store.
func (g *Guard) Claim(ctx context.Context, owner string, ids ...string) ([]Claim, error) {
	claims, epoch, err := g.backend.claim(ctx, owner, ids)
	if err == nil && epoch == "" {
		claims, epoch, err = g.claimInNewEpoch(ctx, owner, ids)
	}
	if err != nil {
		return nil, err
	}
	gap, found := g.gap(ctx, epoch)
	for i := range claims {
		if found && claims[i].State == Claimed {
			claims[i] = Claim{State: Pending, Span: gap, Gap: true}
		}
	}
	return claims, nil
}

func (g *Guard) claimInNewEpoch(ctx context.Context, owner string, ids []string) ([]Claim, string, error) {
	for range beginTries {
		_, last, err := g.log.Bounds(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("begin a new epoch of the dedupe store: %w: %w", ErrUnavailable, err)
		}
		if err := g.backend.begin(ctx, last); err != nil {
			return nil, "", err
		}
		if claims, epoch, err := g.backend.claim(ctx, owner, ids); err != nil || epoch != "" {
			return claims, epoch, err
		}
	}
	return nil, "", fmt.Errorf("the epoch of the dedupe store keeps changing; check that all programs have the same master_key: %w", ErrUnavailable)
}

// beginTries is the number of times that one claim may start an epoch. While a new master key is rolled out, replicas with the old key and
// with the new one replace each other's epoch.
const beginTries = 3

// recheck is the time for which a verdict is cached. It changes when the log's limits remove the last message from before the epoch, which
// takes days.
const recheck = time.Minute

// gap returns the span in which unremembered work may have been done, if there is one.
func (g *Guard) gap(ctx context.Context, epoch string) (event.Span, bool) {
	oldest := time.Now().Add(-g.remember)
	var marked event.Span
	var found bool
	if g.gaps != nil {
		marked, found = g.gaps.since(oldest)
	}
	if found && marked.Until.IsZero() {
		return marked, true
	}
	last, began, ok := parseEpoch(epoch)
	if ok && g.covers(ctx, epoch, last, began) {
		return marked, found
	}
	before := event.Span{Since: oldest, Until: began.Add(skew)}
	if !ok {
		before.Until = time.Time{}
	}
	if found && marked.Until.After(before.Until) && !before.Until.IsZero() {
		before.Until = marked.Until
	}
	return before, true
}

// covers reports whether everything that matters happened in this epoch: the log was empty when it began, or the epoch is older than
// Options.Remember, or the log's limits have removed all earlier messages.
func (g *Guard) covers(ctx context.Context, epoch string, last uint64, began time.Time) bool {
	now := time.Now()
	if v := g.verdict.Load(); v != nil && v.epoch == epoch && now.Before(v.expires) {
		return v.covers
	}
	v := &verdict{epoch: epoch, expires: now.Add(recheck), covers: true}
	if last != 0 && now.Sub(began) <= g.remember {
		first, _, err := g.log.Bounds(ctx)
		if err != nil {
			return false // an unnecessary search of the log is safe; a missing one is not
		}
		v.covers = first > last
	}
	g.verdict.Store(v)
	return v.covers
}

// Confirm implements Store.
func (g *Guard) Confirm(ctx context.Context, done ...Done) error {
	return g.backend.Confirm(ctx, done...)
}

// Release implements Store.
func (g *Guard) Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	return g.backend.Release(ctx, owner, outcome, ids...)
}

// newEpoch returns "<last sequence of the log>@<unix seconds>".
func newEpoch(last uint64, now time.Time) string {
	return fmt.Sprintf("%d@%d", last, now.Unix())
}

func parseEpoch(epoch string) (last uint64, began time.Time, ok bool) {
	seq, unix, found := strings.Cut(epoch, "@")
	last, errSeq := strconv.ParseUint(seq, 10, 64)
	seconds, errTime := strconv.ParseInt(unix, 10, 64)
	return last, time.Unix(seconds, 0), found && errSeq == nil && errTime == nil
}
