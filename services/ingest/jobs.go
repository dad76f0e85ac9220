package ingest

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/operate"
)

// jobs returns the runner of operators' jobs that replay quarantined callbacks. Only ingest can read them.
func (h *handler) jobs() operate.Runner {
	return operate.Runner{Actions: operate.IngestActions, Operator: &operate.Operator{
		JS: h.env.JS, Log: h.env.Log, Callback: func(ctx context.Context, header nats.Header, payload, repair []byte) error {
			var change Repair
			if repair != nil {
				body := string(repair)
				change.Body = &body
			}
			_, err := ReplayWith(ctx, h.env, h.packs, header, payload, change)
			if err != nil && !errors.Is(err, ErrUnavailable) {
				return &operate.UnreadableError{Err: err}
			}
			return err
		},
	}}
}
