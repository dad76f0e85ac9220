package stage

import (
	"context"
	"fmt"
	"sync"

	"github.com/signrelay/signrelay/libs/dedupe"
)

// memory is a dedupe.Store in a map. It records its calls on the wire, so that a test sees their order among the other actions.
type memory struct {
	*harness
	mu      sync.Mutex
	entries map[string]entry

	failClaims   int // the number of calls that fail as if the dedupe store were unavailable
	failConfirms int

	claims  int         // calls of Claim so far
	claimed func(n int) // called after each
}

type entry struct {
	owner     string // empty if the id is not claimed
	pending   bool   // it is unknown whether the work was done
	confirmed bool
	result    []byte
}

func (h *harness) memory() *memory { return &memory{harness: h, entries: map[string]entry{}} }

// effect returns a stage with an effect.
func (h *harness) effect(m *memory) Runner[string] {
	r := h.stage()
	r.Stage.Effect, r.Claims = true, m
	return r
}

func (m *memory) Claim(ctx context.Context, owner string, ids ...string) ([]dedupe.Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if m.claims++; m.claimed != nil {
		defer m.claimed(m.claims)
	}
	if m.failClaims > 0 {
		m.failClaims--
		m.record("dedupe store unavailable")
		return nil, fmt.Errorf("%w: refused", dedupe.ErrUnavailable)
	}
	claims := make([]dedupe.Claim, len(ids))
	for i, id := range ids {
		e := m.entries[id]
		switch {
		case e.confirmed:
			claims[i] = dedupe.Claim{State: dedupe.Confirmed, Result: e.result}
		case e.owner != "" && e.owner != owner:
			claims[i] = dedupe.Claim{State: dedupe.Held}
		case e.pending:
			claims[i] = dedupe.Claim{State: dedupe.Pending}
		default:
			claims[i] = dedupe.Claim{State: dedupe.Claimed}
		}
		if s := claims[i].State; s == dedupe.Claimed || s == dedupe.Pending {
			m.entries[id] = entry{owner: owner, pending: e.pending}
		}
		m.record("claim: %s", map[dedupe.State]string{
			dedupe.Claimed: "claimed", dedupe.Confirmed: "confirmed", dedupe.Held: "held", dedupe.Pending: "pending",
		}[claims[i].State])
	}
	return claims, nil
}

func (m *memory) Confirm(ctx context.Context, all ...dedupe.Done) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.failConfirms > 0 {
		m.failConfirms--
		m.record("confirm: unavailable")
		return dedupe.ErrUnavailable
	}
	for _, it := range all {
		m.entries[it.ID] = entry{confirmed: true, result: it.Result}
	}
	m.record("confirm")
	return nil
}

func (m *memory) Release(ctx context.Context, owner string, outcome dedupe.Outcome, ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, id := range ids {
		if e := m.entries[id]; e.owner == owner && owner != "" {
			m.entries[id] = entry{pending: e.pending || outcome == dedupe.Unknown}
		}
	}
	m.record("release: %s", map[dedupe.Outcome]string{dedupe.Undone: "undone", dedupe.Unknown: "unknown"}[outcome])
	return nil
}

// hold makes another owner hold an id.
func (m *memory) hold(id string) { m.put(id, entry{owner: "another owner"}) }

// lapse ends every lease.
func (m *memory) lapse() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.entries {
		if e.owner != "" {
			m.entries[id] = entry{pending: true}
		}
	}
}

func (m *memory) put(id string, e entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[id] = e
}
