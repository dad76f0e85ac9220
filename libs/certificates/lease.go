package certificates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// lease says which replica deals with the ACME server. autocert has no lock between processes: without the lease each replica would order
// certificates of its own, and Let's Encrypt issues five a week for the same names.
type lease struct {
	kv     jetstream.KeyValue
	name   string // of its entry
	owner  string
	length time.Duration
	until  atomic.Int64 // the end of our own lease in Unix nanoseconds; 0 without one
}

// holder is the entry of a lease.
type holder struct {
	Owner string    `json:"owner"`
	Until time.Time `json:"until"` // by the owner's clock
}

// held reports whether this replica has the lease now. If it cannot extend the lease, it loses it by time.
func (l *lease) held() bool { return time.Now().UnixNano() < l.until.Load() }

// take takes or extends the lease, unless another replica has it.
func (l *lease) take(ctx context.Context) error {
	now := time.Now()
	mine, err := json.Marshal(holder{l.owner, now.Add(l.length).UTC()})
	if err != nil {
		return fmt.Errorf("encode the lease: %w", err)
	}
	stored, err := l.kv.Get(ctx, l.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		_, err = l.kv.Create(ctx, l.name, mine)
	case err != nil:
		return fmt.Errorf("read the lease of the ACME account: %w", err)
	default:
		var has holder
		if json.Unmarshal(stored.Value(), &has) == nil && has.Owner != l.owner && now.Before(has.Until) && has.Until.Before(now.Add(2*l.length)) {
			l.until.Store(0)
			return nil
		}
		_, err = l.kv.Update(ctx, l.name, mine, stored.Revision())
	}
	switch {
	case flow.Raced(err):
		l.until.Store(0)
		return nil
	case err != nil:
		return fmt.Errorf("take the lease of the ACME account: %w", err)
	}
	l.until.Store(now.Add(l.length).UnixNano())
	return nil
}

// release gives the lease back, so that another replica need not wait for its end.
func (l *lease) release(ctx context.Context) {
	if !l.held() {
		return
	}
	l.until.Store(0)
	stored, err := l.kv.Get(ctx, l.name)
	var has holder
	if err == nil && json.Unmarshal(stored.Value(), &has) == nil && has.Owner == l.owner {
		_ = l.kv.Delete(ctx, l.name, jetstream.LastRevision(stored.Revision())) // otherwise it ends by time
	}
}
