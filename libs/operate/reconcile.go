package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

// AskReconciliation asks the reconciler to reconcile a source, with an event in the log. It begins within seconds, and a later request replaces one
// that has not begun. since is the beginning of the period; the zero time means since the last reconciliation.
func (o *Operator) AskReconciliation(ctx context.Context, provider, source string, since time.Time, order Order) (flow.ReconcileRequest, error) {
	state, err := o.JS.KeyValue(ctx, flow.State)
	if err != nil {
		return flow.ReconcileRequest{}, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	if err := o.Record(ctx, Reconcile, About{Source: source, Provider: provider}, order); err != nil {
		return flow.ReconcileRequest{}, err
	}
	asked := flow.ReconcileRequest{ID: dedupe.NewOwner(), Since: since}
	data, err := json.Marshal(asked)
	if err != nil {
		return flow.ReconcileRequest{}, fmt.Errorf("encode a request: %w", err)
	}
	if _, err := state.Put(ctx, flow.ReconcileAsked(provider, source), data); err != nil {
		return flow.ReconcileRequest{}, fmt.Errorf("store the request: %w", err)
	}
	return asked, nil
}
