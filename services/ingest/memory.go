package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/dedupe"
)

// memoryState records whether the dedupe store accepted the last claim. Without the dedupe store, ingest continues, at the cost of one search
// of the log for each event. The operator must notice this, so memoryState logs each change once, sets a metric, and
// reports the state in /readyz?verbose.
type memoryState struct {
	log    *slog.Logger
	gauge  prometheus.Gauge
	memory dedupe.Store
	away   atomic.Pointer[error]
}

func (m *memoryState) took(ctx context.Context) {
	if m.away.Load() != nil && m.away.Swap(nil) != nil {
		m.gauge.Set(0)
		m.log.InfoContext(ctx, "the dedupe store is back; for 4 days the log is searched for ids that it may have missed")
	}
}

func (m *memoryState) refused(ctx context.Context, err error) {
	if m.away.Swap(&err) == nil {
		m.gauge.Set(1)
		m.log.WarnContext(ctx, "storing callbacks without the dedupe store (Redis): each event needs a search of the log", "error", err)
	}
}

// check fails while callbacks are stored without the dedupe store. It tries a claim, so it notices that the store is available again, even
// without callbacks.
func (m *memoryState) check(ctx context.Context) error {
	last := m.away.Load()
	if last == nil {
		return nil
	}
	owner := dedupe.NewOwner()
	if _, err := m.memory.Claim(ctx, owner, "probe"); err != nil {
		return fmt.Errorf("callbacks are stored without the dedupe store, and each event needs a search of the log: %w", *last)
	}
	_ = m.memory.Release(ctx, owner, dedupe.Undone, "probe") // if this fails, the claim expires
	m.took(ctx)
	return nil
}
