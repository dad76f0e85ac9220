package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// jobs returns the runner of operators' jobs that replay quarantined callbacks. Only ingest can read them.
func (h *handler) jobs() operate.Runner {
	return operate.Runner{Actions: operate.IngestActions, Operator: &operate.Operator{
		JS: h.env.JS, Log: h.env.Log, Callback: Callbacks(h.env, h.packs),
	}}
}

// Callbacks returns the part of an operator that reads quarantined callbacks.
func Callbacks(env service.Env, packs []pack.Pack) func(context.Context, nats.Header, []byte, operate.CallbackRepair) (string, error) {
	return func(ctx context.Context, header nats.Header, payload []byte, repair operate.CallbackRepair) (string, error) {
		replayed, err := ReplayWith(ctx, env, packs, header, payload, Repair{Body: textOf(repair.Body), Query: textOf(repair.Query)})
		if err != nil && !errors.Is(err, ErrUnavailable) {
			return "", &operate.UnreadableError{Err: err}
		}
		if err != nil {
			return "", err
		}
		results := []string{"stored " + strings.Join(replayed.IDs, " ")}
		for _, item := range replayed.Quarantined {
			results = append(results, fmt.Sprintf("item %d is still unreadable (%s), and is now in quarantine by itself", item.Item, item.Reason))
		}
		return strings.Join(results, "; "), nil
	}
}

// textOf returns a replaced part; nil if it stays.
func textOf(part []byte) *string {
	if part == nil {
		return nil
	}
	text := string(part)
	return &text
}
