package ingest

import (
	"context"
	"slices"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// withoutErased drops the events of documents that were erased. The provider gets a 2xx, because a retry would change nothing.
func (s *store) withoutErased(ctx context.Context, events []*signingv1.SigningEvent) []*signingv1.SigningEvent {
	if s.erased.None() {
		return events
	}
	kept := slices.DeleteFunc(slices.Clone(events), func(e *signingv1.SigningEvent) bool {
		return s.erased.Erased(e.GetSource(), e.GetProvider(), e.GetDocument().GetId())
	})
	if dropped := len(events) - len(kept); dropped > 0 {
		s.state.log.InfoContext(ctx, "events of erased documents are dropped", "events", dropped)
	}
	return kept
}
