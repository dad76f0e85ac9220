package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// Gaps is what all replicas know of times when things were done that the memory does not remember: one entry in a bucket
// beside the log, written before the first such thing is done, and looked at by everybody.
type Gaps struct {
	kv     jetstream.KeyValue
	known  atomic.Pointer[gap]
	looked atomic.Pointer[time.Time] // when the entry was last seen
	stop   context.CancelFunc
	ended  chan struct{}
}

// lookEvery is how often the entry is looked at. Who has not seen a mark yet may take for new what was just stored, which the
// stream's own window (flow.DuplicateWindow, 2 minutes) refuses then. A watch would be told at once, but takes a consumer, and
// who may make consumers may have the server deliver anything to anybody.
const lookEvery = 5 * time.Second

// believe is how long what was seen is believed, half of that window. Who could not look for longer, because NATS was away for
// him alone, knows nothing.
const believe = time.Minute

// gap is a span, as "<begin>-<end>" in unix milliseconds. A gap that follows another within the time for which things are
// remembered extends it: one span is read at once, and outages are few.
type gap struct {
	begin, end time.Time
}

const gapKey = "dedupe.gap"

// WatchGaps reads the last gap and keeps looking for another; Close ends it.
func WatchGaps(ctx context.Context, kv jetstream.KeyValue) (*Gaps, error) {
	g := &Gaps{kv: kv, ended: make(chan struct{})}
	if err := g.look(ctx); err != nil {
		return nil, err
	}
	ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	go g.follow(ctx)
	return g, nil
}

func (g *Gaps) follow(ctx context.Context) {
	defer close(g.ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = g.look(ctx) // NATS is away: nothing is stored meanwhile
	}
}

func (g *Gaps) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	asked := time.Now()
	entry, err := g.kv.Get(ctx, gapKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return fmt.Errorf("read gaps of the memory: %w", err)
	default:
		g.note(entry)
	}
	g.looked.Store(&asked)
	return nil
}

func (g *Gaps) note(entry jetstream.KeyValueEntry) {
	begin, end, found := strings.Cut(string(entry.Value()), "-")
	from, errBegin := strconv.ParseInt(begin, 10, 64)
	to, errEnd := strconv.ParseInt(end, 10, 64)
	if !found || errBegin != nil || errEnd != nil {
		return
	}
	// A mark of our own may have been made since the entry was asked for.
	if last := g.known.Load(); last == nil || last.end.Before(time.UnixMilli(to)) {
		g.known.Store(&gap{time.UnixMilli(from), time.UnixMilli(to)})
	}
}

const (
	// markEvery is how often a gap that goes on is written anew. Gaps are judged against days, so a minute is nothing.
	markEvery = time.Minute
	// joinWithin is how close gaps must be to become one; no memory is longer.
	joinWithin = 15 * 24 * time.Hour
	// skew is how far the clocks of services and broker may differ.
	skew = time.Minute
)

// Mark records that something is about to be done that the memory will not remember. It returns when the mark is stored.
func (g *Gaps) Mark(ctx context.Context) error {
	now := time.Now()
	begin := now
	if last := g.known.Load(); last != nil {
		if now.Sub(last.end) < markEvery {
			return nil
		}
		if now.Sub(last.end) < joinWithin {
			begin = last.begin
		}
	}
	entry := strconv.FormatInt(begin.UnixMilli(), 10) + "-" + strconv.FormatInt(now.UnixMilli(), 10)
	if _, err := g.kv.PutString(ctx, gapKey, entry); err != nil {
		return fmt.Errorf("mark a gap of the memory: %w", err)
	}
	g.known.Store(&gap{begin, now})
	return nil
}

// since returns the span in which something may have been done that is not remembered, if it reaches beyond t. Its end is open
// when nobody knows.
func (g *Gaps) since(t time.Time) (event.Span, bool) {
	if time.Since(*g.looked.Load()) > believe {
		return event.Span{Since: t}, true
	}
	known := g.known.Load()
	if known == nil || known.end.Add(markEvery+skew).Before(t) {
		return event.Span{}, false
	}
	return event.Span{Since: known.begin.Add(-skew), Until: known.end.Add(markEvery + skew)}, true
}

// Close ends the looking.
func (g *Gaps) Close() error {
	g.stop()
	<-g.ended
	return nil
}
