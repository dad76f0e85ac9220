package erase

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// InCopy returns the sequences that document.erased events name and that a team's copy of the log still has. The copy has the log's own
// sequences.
func InCopy(ctx context.Context, e *Eraser) (sequences []uint64, err error) {
	erased := map[uint64]bool{}
	log := event.Log{JS: e.JS, Stream: flow.Signing}
	for m, err := range log.Messages(ctx, event.TypeFilter(event.DocumentErased), time.Time{}) {
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
	if len(erased) == 0 {
		return nil, nil
	}
	for m, err := range log.Messages(ctx, event.Everything, time.Time{}) {
		if err != nil {
			return nil, err
		}
		// An event that reports an erasure is never erased, so that a forged one cannot hide others.
		if a, ok := event.ParseSubject(m.Subject); erased[m.Sequence] && ok && a.Type != event.DocumentErased {
			sequences = append(sequences, m.Sequence)
		}
	}
	slices.Sort(sequences)
	return sequences, nil
}

// RunCopy removes events of a team's copy.
func RunCopy(ctx context.Context, e *Eraser, sequences []uint64) error {
	stream, err := e.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	return e.each(ctx, "copy", len(sequences), func(ctx context.Context, i int) error { return secureDelete(ctx, stream, sequences[i]) })
}
