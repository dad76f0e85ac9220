package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/dedupe"
)

// memoryState records whether the dedupe memory took the last claim. Without the memory, ingest continues, at the cost of one
// query to the log for each event. The operator must notice this, so memoryState logs each change once, sets a metric, and
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
		m.log.InfoContext(ctx, "the dedupe memory is back; for 4 days the log is asked about events that it may have missed")
	}
}

func (m *memoryState) refused(ctx context.Context, err error) {
	if m.away.Swap(&err) == nil {
		m.gauge.Set(1)
		m.log.WarnContext(ctx, "storing callbacks without the dedupe memory (Redis): each event costs a question to the log", "error", err)
	}
}

// check fails while callbacks are stored without the memory. It tries a claim, so that it notices the memory's return even when
// no callbacks arrive.
func (m *memoryState) check(ctx context.Context) error {
	last := m.away.Load()
	if last == nil {
		return nil
	}
	owner := dedupe.NewOwner()
	if _, err := m.memory.Claim(ctx, owner, "probe"); err != nil {
		return fmt.Errorf("callbacks are stored without the dedupe memory, and each event costs a question to the log: %w", *last)
	}
	_ = m.memory.Release(ctx, owner, dedupe.Undone, "probe") // it lapses otherwise
	m.took(ctx)
	return nil
}
