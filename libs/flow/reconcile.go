package flow

import "time"

// ReconcileRun is the entry in STATE with the state of a source's reconciliation.
func ReconcileRun(provider, source string) string { return "reconcile.run." + provider + "." + source }

// ReconcileAsked is the entry in STATE with an operator's request for a reconciliation.
func ReconcileAsked(provider, source string) string {
	return "reconcile.asked." + provider + "." + source
}

// ReconcileRequest asks the reconciler for a reconciliation now. It is the entry ReconcileAsked.
type ReconcileRequest struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since,omitzero"` // the zero time means since the last one
}
