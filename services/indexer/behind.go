package indexer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index"
)

// Lag is how far an index is behind the log.
type Lag struct {
	Last   uint64 // the sequence of the last event of the log
	Events uint64
	For    time.Duration // the age of the first event that is missing
}

// Behind compares the position of an index with the log.
func Behind(ctx context.Context, log event.Log, p index.Position, now time.Time) (Lag, error) {
	first, last, err := log.Bounds(ctx)
	if err != nil {
		return Lag{}, err
	}
	l := Lag{Last: last}
	from := max(p.Sequence+1, first)
	if last < from {
		return l, nil
	}
	l.Events = last - from + 1
	s, err := log.JS.Stream(ctx, log.Stream)
	if err != nil {
		return l, fmt.Errorf("read the log: %w", err)
	}
	// The event itself may have been erased; the last one is there or is the erasure of it. The server knows without a search what ">" matches.
	m, err := s.GetMsg(ctx, from, jetstream.WithGetMsgSubject(">"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return l, nil
	case err != nil:
		return l, fmt.Errorf("read the log: %w", err)
	}
	l.For = max(now.Sub(m.Time), 0)
	return l, nil
}
