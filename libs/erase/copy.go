package erase

import (
	"context"
	"fmt"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Copy is what a team's copy of the log still has of what was erased from the log.
type Copy struct{ removals []remove }

// Len returns the number of its events.
func (c *Copy) Len() int { return len(c.removals) }

// InCopy finds the events that document.erased events name and that a team's copy of the log still has. The copy has the log's own sequences.
func InCopy(ctx context.Context, e *Eraser) (*Copy, error) {
	erased := map[uint64]bool{}
	log := event.Log{JS: e.JS, Stream: flow.Signing}
	for m, err := range log.Whole(ctx, event.TypeFilter(event.DocumentErased), 0) {
		if err != nil {
			return nil, err
		}
		is, err := event.Decode(m.Data)
		if err != nil {
			return nil, err
		}
		all, err := readSpans(is.GetAttributes()["sequences"])
		if err != nil {
			return nil, err
		}
		for _, sequence := range all {
			erased[sequence] = true
		}
	}
	c := new(Copy)
	if len(erased) == 0 {
		return c, nil
	}
	stayed := false
	for m, err := range log.Whole(ctx, event.Everything, 0) {
		if err != nil {
			return nil, err
		}
		// An event that reports an erasure is never erased, so that a forged one cannot hide others.
		if a, ok := event.ParseSubject(m.Subject); !erased[m.Sequence] || !ok || a.Type == event.DocumentErased {
			stayed = true
			continue
		}
		c.removals = append(c.removals, remove{sequence: m.Sequence, bytes: len(m.Data) + len(m.Subject), joined: !stayed})
		stayed = false
	}
	return c, nil
}

// RunCopy removes events of a team's copy.
func RunCopy(ctx context.Context, e *Eraser, c *Copy) error {
	stream, err := e.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	return e.removeFrom(ctx, stream, "copy", c.removals)
}
