package dedupe

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Gaps is what all replicas know of times when things were done that the memory does not remember: one entry in a bucket
// beside the log, written before the first such thing is done, and watched by everybody.
type Gaps struct {
	kv      jetstream.KeyValue
	last    atomic.Int64 // unix ms of the latest known gap; 0 for none
	watcher jetstream.KeyWatcher
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
	if ms, err := strconv.ParseInt(string(entry.Value()), 10, 64); err == nil && ms > g.last.Load() {
		g.last.Store(ms)
	}
}

// markEvery is how often a gap that goes on is written anew. Gaps are judged against days, so a minute is nothing.
const markEvery = time.Minute

// Mark records that something is about to be done that the memory will not remember. It returns when the mark is stored.
func (g *Gaps) Mark(ctx context.Context) error {
	now := time.Now().UnixMilli()
	if now-g.last.Load() < markEvery.Milliseconds() {
		return nil
	}
	if _, err := g.kv.Put(ctx, gapKey, []byte(strconv.FormatInt(now, 10))); err != nil {
		return fmt.Errorf("mark a gap of the memory: %w", err)
	}
	g.last.Store(max(now, g.last.Load()))
	return nil
}

// since tells whether there was a gap after t, by up to markEvery.
func (g *Gaps) since(t time.Time) bool {
	last := g.last.Load()
	return last != 0 && last+markEvery.Milliseconds() > t.UnixMilli()
}

// Close ends the watch.
func (g *Gaps) Close() error { return g.watcher.Stop() }
