package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func timeline(ctx context.Context, c *call) error {
	document, err := c.argument("a document's id at its provider")
	if err != nil {
		return err
	}
	js, done, err := connectLog(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	filter := event.DocumentFilter(document)
	log := event.Log{JS: js, Stream: flow.Signing}
	var entries []entry
	for m, err := range log.Narrow(ctx, filter) {
		if err != nil {
			return err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return err
		}
		entries = append(entries, entry{e, arrival(e, m.Time)})
	}
	if entries == nil {
		fmt.Fprintln(c.stderr, printable.Line("The log has no events for "+filter))
	}
	// Events with the same time stay in the log's order.
	slices.SortStableFunc(entries, func(a, b entry) int { return event.Time(a.event).Compare(event.Time(b.event)) })
	for _, entry := range entries {
		if err := c.show(entry.event, "arrived "+entry.arrived.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}

// entry is an event in a timeline.
type entry struct {
	event   *signingv1.SigningEvent
	arrived time.Time
}

// arrival returns the time at which Signrelay received an event. For an event that Signrelay made, it is the time at which it was stored.
func arrival(e *signingv1.SigningEvent, stored time.Time) time.Time {
	if e.GetReceivedAt() != nil {
		return e.GetReceivedAt().AsTime()
	}
	return stored
}
