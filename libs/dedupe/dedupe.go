// Package dedupe remembers completed work, so that it is not done twice. It never reports work as done that was not done.
//
// A caller's steps have a fixed order: claim → do the work → confirm. A failed attempt releases its claim. If the owner of a claim dies,
// the claim stays; the next caller gets Pending, because it is unknown whether the work was done.
package dedupe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
)

// State is the result of a claim.
type State int

const (
	// Claimed means that it is new, and the caller owns it now.
	Claimed State = iota + 1
	// Confirmed means that it was done before.
	Confirmed
	// Held means that another owner is doing it now.
	Held
	// Pending means that the caller owns it now, but it may have been done before: its earlier owner died, or the store has a gap.
	// Check the source of truth (the log, a delivery receipt) before doing it.
	Pending
)

// Claim is the result for one id.
type Claim struct {
	State State
	// Result is the data that Confirm stored; it is set only when State is Confirmed.
	Result []byte
	// Span is the time in which the work may have been done. It is set only when State is Pending and the time is known. The caller then need
	// not read the whole log.
	Span event.Span
	// Gap is true when the id is Pending because the store has a gap, and not because an earlier claim of this id expired.
	// There may have been no earlier attempt then.
	Gap bool
}

// Store is a dedupe store. Every implementation passes the conformance suite in dedupetest. All methods are safe to repeat with the same
// arguments, because clients retry on their own when a reply is lost.
type Store interface {
	// Claim looks the ids up and claims the unknown ones for owner, in one round trip. The results have the order of the ids. Called
	// again by the owner of a claim, Claim returns the same result and extends the lease.
	Claim(ctx context.Context, owner string, ids ...string) ([]Claim, error)

	// Confirm records that these ids were done. It needs no claim.
	Confirm(ctx context.Context, done ...Done) error

	// Release ends owner's claims. With Undone the ids become unclaimed again; with Unknown they become Pending at once. An id that
	// was Pending when owner claimed it stays Pending.
	Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error
}

// Done is an id whose work was done. A later Claim of the id returns Result, which may be nil.
type Done struct {
	ID     string
	Result []byte
}

// Outcome is the caller's knowledge about its attempt when it releases the claim.
type Outcome int

const (
	// Undone means that the work was certainly not done.
	Undone Outcome = iota + 1
	// Unknown means that the work may have been done.
	Unknown
)

// Options of a store.
type Options struct {
	// Namespace separates the stages that share one Redis or one bucket: the stage's name.
	Namespace string
	// Lease is the time for which a claim lasts. It must be longer than the longest attempt.
	Lease time.Duration
	// Remember is the time for which a confirmation, or an abandoned claim, is kept.
	Remember time.Duration
	// Waits is true for a stage that stops while the store is unavailable. Gaps are marked by stages that continue without the
	// store, so they do not concern this stage.
	Waits bool
	// Failover is true if another server may take Redis's place: with Sentinel, and always in a cluster. The store then notices that, and
	// what the new server may lack is a gap.
	Failover bool
	// Ring holds the master keys, on which names and confirmations in Redis depend. A NATS bucket does not use it.
	Ring keyring.Ring
}

// ErrUnavailable means that the store cannot be reached. The state of the ids is unknown.
var ErrUnavailable = errors.New("dedupe store is unavailable")

// unavailable wraps an error of the backend in ErrUnavailable. If the caller cancelled ctx, it returns the cause instead.
func unavailable(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	default:
		return fmt.Errorf("%s: %w: %w", op, ErrUnavailable, err)
	}
}

// NewOwner makes the token of one attempt. Each attempt has its own, so that a repeated call differs from another attempt. The token has
// 64 random bits and is not a secret: write access to the store suffices without it.
func NewOwner() string {
	return strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // it distinguishes attempts and protects nothing
}
