package dedupe

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Backend is the backend of a store: *Redis or *Bucket.
type Backend interface {
	// claim is Store.Claim, and also returns the epoch of each id. An id without an epoch is not claimed.
	claim(ctx context.Context, owner string, ids []string) ([]found, error)
	// begin starts the epochs of these ids now, unless there are some. last is the log's last sequence.
	begin(ctx context.Context, last uint64, ids []string) error

	Confirm(ctx context.Context, done ...Done) error
	Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error
}

// found is the claim of one id, with the state of the part of the backend that holds the id.
type found struct {
	Claim
	epoch string     // "" for none
	lost  event.Span // entries that were written in it may be lost; zero for none
}

// Log is what the guard needs to know about the log of events.
type Log interface {
	// Bounds returns the first sequence still held and the last ever stored, 0 for nothing.
	Bounds(ctx context.Context) (first, last uint64, err error)
}

// Guard is a Store that knows the gaps of its backend. Where unremembered work may have been done it returns Pending instead of Claimed.
// There are four kinds of gap.
//
// The backend lost everything (it was emptied or replaced): the epoch, the first entry of an empty backend, is gone. The new epoch contains
// the log's last sequence at that moment, so the guard knows whether the log holds earlier events. A new installation has an empty log, and
// no gap.
//
// Events were stored while the backend was unavailable: the stage that stores them marks the gap in Gaps, where all replicas see it.
//
// A replica took the place of the primary and lacks the entries that were not replicated: the lineage, which each primary renews, is another
// server's then. It replicates in order with all other entries, so the copy on the new primary shows where the gap begins.
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
	verdicts sync.Map // verdict by epoch; a cluster has twelve epochs
}

// verdict is a cached result for an epoch: whether everything that matters happened in it, and when the result expires.
type verdict struct {
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
	all, err := g.claim(ctx, owner, ids)
	if err != nil {
		return nil, err
	}
	claims := make([]Claim, len(all))
	gap, known := event.Span{}, false
	for i, f := range all {
		claims[i] = f.Claim
		if f.State != Claimed {
			continue
		}
		if i == 0 || f.epoch != all[i-1].epoch || f.lost != all[i-1].lost || all[i-1].State != Claimed {
			gap, known = g.gap(ctx, f)
		}
		if known {
			claims[i] = Claim{State: Pending, Span: gap, Gap: true}
		}
	}
	return claims, nil
}

// claim claims all ids, and starts the epochs that are missing.
func (g *Guard) claim(ctx context.Context, owner string, ids []string) ([]found, error) {
	for begun := 0; ; begun++ {
		all, err := g.backend.claim(ctx, owner, ids)
		if err != nil {
			return nil, err
		}
		var without []string
		for i, f := range all {
			if f.epoch == "" {
				without = append(without, ids[i])
			}
		}
		switch {
		case len(without) == 0:
			return all, nil
		case begun == beginTries:
			return nil, fmt.Errorf("the epoch of the dedupe store keeps changing; check that all programs have the same master_key: %w", ErrUnavailable)
		}
		_, last, err := g.log.Bounds(ctx)
		if err != nil {
			return nil, fmt.Errorf("begin a new epoch of the dedupe store: %w: %w", ErrUnavailable, err)
		}
		if err := g.backend.begin(ctx, last, without); err != nil {
			return nil, err
		}
	}
}

// beginTries is the number of times that one claim may start an epoch. While a new master key is rolled out, replicas with the old key and
// with the new one replace each other's epoch.
const beginTries = 3

// recheck is the time for which a verdict is cached. It changes when the log's limits remove the last message from before the epoch, which
// takes days.
const recheck = time.Minute

// gap returns the span in which unremembered work may have been done, if there is one.
func (g *Guard) gap(ctx context.Context, f found) (event.Span, bool) {
	oldest := time.Now().Add(-g.remember)
	var spans []event.Span
	if g.gaps != nil {
		if marked, found := g.gaps.since(oldest); found {
			spans = append(spans, marked)
		}
	}
	if f.lost.Until.After(oldest) {
		if f.lost.Since.Before(oldest) {
			f.lost.Since = oldest
		}
		spans = append(spans, f.lost)
	}
	last, began, ok := parseEpoch(f.epoch)
	switch {
	case !ok:
		spans = append(spans, event.Span{Since: oldest})
	case !g.covers(ctx, f.epoch, last, began):
		spans = append(spans, event.Span{Since: oldest, Until: began.Add(skew)})
	}
	return union(spans), len(spans) > 0
}

// union returns the shortest span that contains all spans.
func union(spans []event.Span) (all event.Span) {
	for i, s := range spans {
		switch {
		case i == 0:
			all = s
			continue
		case s.Since.Before(all.Since):
			all.Since = s.Since
		}
		if s.Until.IsZero() || (!all.Until.IsZero() && s.Until.After(all.Until)) {
			all.Until = s.Until
		}
	}
	return all
}

// covers reports whether everything that matters happened in this epoch: the log was empty when it began, or the epoch is older than
// Options.Remember, or the log's limits have removed all earlier messages.
func (g *Guard) covers(ctx context.Context, epoch string, last uint64, began time.Time) bool {
	now := time.Now()
	if cached, found := g.verdicts.Load(epoch); found {
		if v, ok := cached.(verdict); ok && now.Before(v.expires) {
			return v.covers
		}
	}
	v := verdict{expires: now.Add(recheck), covers: true}
	if last != 0 && now.Sub(began) <= g.remember {
		first, _, err := g.log.Bounds(ctx)
		if err != nil {
			return false // an unnecessary search of the log is safe; a missing one is not
		}
		v.covers = first > last
	}
	g.verdicts.Store(epoch, v)
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
