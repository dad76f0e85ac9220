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

// Gaps records, for all replicas, the periods in which events were stored without the dedupe store: one entry in a bucket beside the log. It
// is written before the first such event, and every replica polls it.
type Gaps struct {
	kv     jetstream.KeyValue
	known  atomic.Pointer[gap]
	looked atomic.Pointer[time.Time] // when the entry was last seen
	stop   context.CancelFunc
	ended  chan struct{}
}

// lookEvery is the poll interval. A replica that has not seen a mark yet may treat a stored event as new. The stream's own duplicate window
// (flow.DuplicateWindow, 2 minutes) then refuses it. A watch would notify at once, but needs a consumer, and a user who may create consumers
// can have the server deliver any message to any subject.
const lookEvery = 5 * time.Second

// believe is the time for which the last poll counts: half of that window. A replica that could not poll for longer, because it alone cannot
// reach NATS, has to assume a gap.
const believe = time.Minute

// gap is a span, as "<begin>-<end>" in unix milliseconds. A gap extends an earlier one if the store still remembers that time. A reader then
// reads one span only. Outages are rare.
type gap struct {
	begin, end time.Time
}

const gapKey = "dedupe.gap"

// WatchGaps reads the last gap and polls for others; Close ends the polling.
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
		_ = g.look(ctx) // while NATS is unavailable nothing is stored
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
		return fmt.Errorf("read gaps of the dedupe store: %w", err)
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
	// A mark of our own may have been made since this read began.
	if last := g.known.Load(); last == nil || last.end.Before(time.UnixMilli(to)) {
		g.known.Store(&gap{time.UnixMilli(from), time.UnixMilli(to)})
	}
}

const (
	// markEvery is the interval at which an ongoing gap is written again. A store remembers days, so a minute does not matter.
	markEvery = time.Minute
	// joinWithin is the maximum time between two gaps that become one. No store remembers for longer.
	joinWithin = 15 * 24 * time.Hour
	// skew is the maximum difference between the clocks of services and broker.
	skew = time.Minute
)

// Mark records that work is about to be done that the store will not remember. It returns when the mark is stored.
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
	return g.put(ctx, begin, now)
}

func (g *Gaps) put(ctx context.Context, begin, end time.Time) error {
	entry := strconv.FormatInt(begin.UnixMilli(), 10) + "-" + strconv.FormatInt(end.UnixMilli(), 10)
	if _, err := g.kv.PutString(ctx, gapKey, entry); err != nil {
		return fmt.Errorf("mark a gap of the dedupe store: %w", err)
	}
	g.known.Store(&gap{begin, end})
	return nil
}

// MarkLost records that the store may have lost all records since begin. Call it before a service uses the store again.
func MarkLost(ctx context.Context, kv jetstream.KeyValue, begin time.Time) error {
	g := &Gaps{kv: kv}
	if err := g.look(ctx); err != nil {
		return err
	}
	now := time.Now()
	if last := g.known.Load(); last != nil && now.Sub(last.end) < joinWithin && last.begin.Before(begin) {
		begin = last.begin
	}
	return g.put(ctx, begin, now)
}

// since returns the span in which unremembered work may have been done, if it reaches beyond t. The end is open when the last poll is too
// old.
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

// Close ends the polling.
func (g *Gaps) Close() error {
	g.stop()
	<-g.ended
	return nil
}
