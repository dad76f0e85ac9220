package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
)

// record is what the bucket STATE has about a source, in one entry: the lease, the place at which a killed run continues, and the last result.
// Each change names the revision that it replaces. So a replica that lost its lease notices that at its next change.
type record struct {
	Run  *progress `json:"run,omitempty"` // that has not ended
	Last *Result   `json:"last,omitempty"`
	// Night is the time of the latest nightly run that began, and Reached the beginning of the latest successful run.
	Night, Reached time.Time
	FailedNights   int `json:",omitempty"` // in sequence
}

// progress is a run that has not ended.
type progress struct {
	Result
	Nightly bool      `json:"nightly,omitempty"`
	Owner   string    `json:"owner"`
	Until   time.Time `json:"until"` // the end of the lease, by the machine's clock

	Known  bool   `json:"known_phase,omitempty"` // the lists are read; now follow the documents that the log has as open
	Cursor string `json:"cursor,omitempty"`      // of the next page; in the second phase, the last document that was compared
	Round  int    `json:"round"`                 // of the lists, from 1
	Fresh  int    `json:"fresh,omitempty"`       // the facts that this round published
}

// Result is the result of a reconciliation, as its table shows it. It contains no personal data.
type Result struct {
	ID      string    `json:"id"`
	Request string    `json:"request,omitempty"` // the request that it responds to; empty for a nightly run
	Since   time.Time `json:"since"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`

	LookedAt      int `json:"looked_at"`     // documents
	AlreadyKnown  int `json:"known"`         // facts that the log had
	Found         int `json:"found"`         // facts that the log did not have
	Published     int `json:"published"`     // of these
	Contradicting int `json:"contradicting"` // documents about which log and provider disagree
	// Contradictions are the first hundred of them.
	Contradictions []Contradiction `json:"contradictions,omitempty"`
	Error          string          `json:"error,omitempty"` // the reason why it failed
}

// Contradiction is a document about which log and provider disagree. Nothing was published about it.
type Contradiction struct {
	Document string `json:"document"`
	Log      string `json:"log"`      // what the log says: "completed"
	Provider string `json:"provider"` // what the provider says: "open"
}

const mostContradictions = 100

// contradicts records a contradiction, once a document.
func (p *progress) contradicts(c Contradiction) {
	for _, before := range p.Contradictions {
		if before.Document == c.Document {
			return
		}
	}
	if p.Contradicting++; len(p.Contradictions) < mostContradictions {
		p.Contradictions = append(p.Contradictions, c)
	}
}

func recordKey(key providers.SourceKey) string {
	return flow.ReconcileRun(key.Provider, key.Name)
}
func askedKey(key providers.SourceKey) string {
	return flow.ReconcileAsked(key.Provider, key.Name)
}

// errLost means that another replica has changed the record.
var errLost = errors.New("another replica continues the reconciliation")

// kept is a record with its revision.
type kept struct {
	record
	kv       jetstream.KeyValue
	name     string // of the entry
	revision uint64 // 0 if the bucket has none
}

func readRecord(ctx context.Context, kv jetstream.KeyValue, key providers.SourceKey) (*kept, error) {
	k := &kept{kv: kv, name: recordKey(key)}
	stored, err := kv.Get(ctx, k.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("read the state of a reconciliation: %w", err)
	}
	if err := json.Unmarshal(stored.Value(), &k.record); err != nil {
		return nil, fmt.Errorf("read the state of a reconciliation: %w", err)
	}
	k.revision = stored.Revision()
	return k, nil
}

// put stores the record. It fails with errLost if another replica has changed it.
func (k *kept) put(ctx context.Context) error {
	data, err := json.Marshal(k.record)
	if err != nil {
		return fmt.Errorf("encode the state of a reconciliation: %w", err)
	}
	var revision uint64
	if k.revision == 0 {
		revision, err = k.kv.Create(ctx, k.name, data)
	} else {
		revision, err = k.kv.Update(ctx, k.name, data, k.revision)
	}
	switch {
	case flow.Raced(err):
		return errLost
	case err != nil:
		return fmt.Errorf("store the state of a reconciliation: %w", err)
	}
	k.revision = revision
	return nil
}

// extend stores the record and extends the lease.
func (k *kept) extend(ctx context.Context, lease time.Duration) error {
	k.Run.Until = time.Now().Add(lease).UTC()
	return k.put(ctx)
}
