package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
)

// Request asks the service for a reconciliation now.
type Request = flow.ReconcileRequest

func requestOf(ctx context.Context, kv jetstream.KeyValue, key providers.SourceKey) (*Request, error) {
	stored, err := kv.Get(ctx, askedKey(key))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, nil //nolint:nilnil // there is no request
	case err != nil:
		return nil, fmt.Errorf("read the request for a reconciliation: %w", err)
	}
	asked := new(Request)
	if err := json.Unmarshal(stored.Value(), asked); err != nil {
		return nil, fmt.Errorf("read the request for a reconciliation: %w", err)
	}
	return asked, nil
}

// Status is the state of a request.
type Status struct {
	Result
	Begun bool
	Done  bool
}

// StatusOf returns the state of a request. Until its run begins, the Result is that of the run before it, if that is still in progress.
func StatusOf(ctx context.Context, js jetstream.JetStream, key providers.SourceKey, asked Request) (Status, error) {
	kv, err := js.KeyValue(ctx, flow.State)
	if err != nil {
		return Status{}, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	k, err := readRecord(ctx, kv, key)
	switch {
	case err != nil:
		return Status{}, err
	case k.Last != nil && k.Last.Request == asked.ID:
		return Status{Result: *k.Last, Begun: true, Done: true}, nil
	case k.Run != nil:
		return Status{Result: k.Run.Result, Begun: k.Run.Request == asked.ID}, nil
	default:
		return Status{}, nil
	}
}
