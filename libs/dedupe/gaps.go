package dedupe

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// Gaps is what all replicas know of times when things were done that the memory does not remember: one entry in a bucket
// beside the log, written before the first such thing is done, and watched by everybody.
type Gaps struct {
	kv      jetstream.KeyValue
	known   atomic.Pointer[gap]
	watcher jetstream.KeyWatcher
}

// gap is a span, as "<begin>-<end>" in unix milliseconds. A gap that follows another within the time for which things are
// remembered extends it: one span is read at once, and outages are few.
type gap struct {
	begin, end time.Time
}

const gapKey = "dedupe.gap"

// WatchGaps reads the last gap and keeps watching; Close ends it.
func WatchGaps(ctx context.Context, kv jetstream.KeyValue) (*Gaps, error) {
	watcher, err := kv.Watch(context.WithoutCancel(ctx), gapKey)
	if err != nil {
		return nil, fmt.Errorf("watch gaps of the memory: %w", err)
	}
	g := &Gaps{kv: kv, watcher: watcher}
	for {
		select {
		case entry := <-watcher.Updates():
			if entry != nil {
				g.note(entry)
				continue
			}
			go g.follow()
			return g, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("read gaps of the memory: %w", ctx.Err())
		}
	}
}

func (g *Gaps) follow() {
	for entry := range g.watcher.Updates() {
		if entry != nil {
			g.note(entry)
		}
	}
}

func (g *Gaps) note(entry jetstream.KeyValueEntry) {
	begin, end, found := strings.Cut(string(entry.Value()), "-")
	from, errBegin := strconv.ParseInt(begin, 10, 64)
	to, errEnd := strconv.ParseInt(end, 10, 64)
	if found && errBegin == nil && errEnd == nil {
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

// since returns the span in which something may have been done that is not remembered, if it reaches beyond t.
func (g *Gaps) since(t time.Time) (event.Span, bool) {
	known := g.known.Load()
	if known == nil || known.end.Add(markEvery+skew).Before(t) {
		return event.Span{}, false
	}
	return event.Span{Since: known.begin.Add(-skew), Until: known.end.Add(markEvery + skew)}, true
}

// Close ends the watch.
func (g *Gaps) Close() error { return g.watcher.Stop() }
