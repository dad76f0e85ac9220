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

// Keeper is where a memory is kept: *Redis or *Bucket.
type Keeper interface {
	// claim is Store.Claim, and tells the epoch; without one it claims nothing and says "".
	claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error)
	// begin begins an epoch now, in which last is the log's last sequence, unless one stands.
	begin(ctx context.Context, last uint64) error

	Confirm(ctx context.Context, done ...Done) error
	GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error
}

// Log is what the guard must know of the log of events.
type Log interface {
	// Bounds returns the first sequence still held and the last ever stored, 0 for nothing.
	Bounds(ctx context.Context) (first, last uint64, err error)
}

// Guard is a Store that knows the gaps in its memory, and says Pending instead of Claimed where something may have been
// done that it does not remember. It knows three kinds of gap.
//
// The keeper forgot everything (emptied, replaced by a new one): the epoch is gone that is the first thing written to an
// empty keeper. The new epoch bears the log's last sequence at that moment, so it is known whether the log holds anything
// from before. A fresh set-up has an empty log, and no gap.
//
// Events were stored while the keeper was away: whoever does that marks it in Gaps, where all replicas see it.
//
// Another master key was set: names of ids depend on it, so no earlier one is found. An epoch is of one key, and a replica that finds
// another key's epoch begins its own before it claims. So while some replicas have the old key and some the new one, each takes for
// a gap what was stored in the others' epochs.
//
// A keeper that was restored from a backup still bears its epoch and is not noticed: whoever restores one removes the key
// signrelay:epoch first.
//
// All close by themselves after the time for which things are remembered.
type Guard struct {
	keeper   Keeper
	log      Log
	gaps     *Gaps // nil where marked gaps do not matter
	remember time.Duration
	verdict  atomic.Pointer[verdict]
}

// verdict is what is known of an epoch: whether everything that matters happened in it, and until when that holds.
type verdict struct {
	epoch   string
	covers  bool
	expires time.Time
}

// NewGuard makes a Store of a keeper that was opened with o.
func NewGuard(k Keeper, log Log, gaps *Gaps, o Options) *Guard {
	if o.Waits {
		gaps = nil // only what the keeper forgot matters
	}
	return &Guard{keeper: k, log: log, gaps: gaps, remember: o.Remember}
}

// Claim implements Store.
func (g *Guard) Claim(ctx context.Context, owner string, ids ...string) ([]Claim, error) {
	claims, epoch, err := g.keeper.claim(ctx, owner, ids)
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
			return nil, "", fmt.Errorf("begin a new epoch of the memory: %w: %w", ErrAway, err)
		}
		if err := g.keeper.begin(ctx, last); err != nil {
			return nil, "", err
		}
		if claims, epoch, err := g.keeper.claim(ctx, owner, ids); err != nil || epoch != "" {
			return claims, epoch, err
		}
	}
	return nil, "", fmt.Errorf("the epoch of the memory does not stay; have all programs the same master_key? %w", ErrAway)
}

// beginTries is how often an epoch is begun for one claim. While a new master key is rolled out, replicas with the old key and with the
// new one replace each other's epoch.
const beginTries = 3

// recheck is how long "the log still holds something from before the epoch" is believed: it changes when the log's limits
// remove the last such message, after days.
const recheck = time.Minute

// gap returns the span in which something may have been done that is not remembered, if there is one.
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

// covers tells whether all that matters happened in this epoch: nothing had been stored when it began, or it is old
// enough, or the log's limits removed what is from before.
func (g *Guard) covers(ctx context.Context, epoch string, last uint64, began time.Time) bool {
	now := time.Now()
	if v := g.verdict.Load(); v != nil && v.epoch == epoch && now.Before(v.expires) {
		return v.covers
	}
	v := &verdict{epoch: epoch, expires: now.Add(recheck), covers: true}
	if last != 0 && now.Sub(began) <= g.remember {
		first, _, err := g.log.Bounds(ctx)
		if err != nil {
			return false // asking the log too often is safe; not asking is not
		}
		v.covers = first > last
	}
	g.verdict.Store(v)
	return v.covers
}

// Confirm implements Store.
func (g *Guard) Confirm(ctx context.Context, done ...Done) error {
	return g.keeper.Confirm(ctx, done...)
}

// GiveBack implements Store.
func (g *Guard) GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	return g.keeper.GiveBack(ctx, owner, outcome, ids...)
}

// newEpoch is "<last sequence of the log>@<unix seconds>".
func newEpoch(last uint64, now time.Time) string {
	return fmt.Sprintf("%d@%d", last, now.Unix())
}

func parseEpoch(epoch string) (last uint64, began time.Time, ok bool) {
	seq, unix, found := strings.Cut(epoch, "@")
	last, errSeq := strconv.ParseUint(seq, 10, 64)
	seconds, errTime := strconv.ParseInt(unix, 10, 64)
	return last, time.Unix(seconds, 0), found && errSeq == nil && errTime == nil
}
