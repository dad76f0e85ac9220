// Package dedupe remembers what was done, so that it is not done twice, and never claims that something was done which
// was not.
//
// The order of a user's steps is the point: claim → do it → confirm. A failed attempt gives its claim back. A claim whose
// owner died stays behind, and whoever finds it is told Pending: nobody knows whether it was done.
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

// State is what a claim found.
type State int

const (
	// Claimed means that nobody did it before, and it is ours now.
	Claimed State = iota + 1
	// Confirmed means that it was done before.
	Confirmed
	// Held means that somebody else is doing it right now.
	Held
	// Pending means that it is ours now, but may have been done before: its earlier owner died, or the memory has a gap. Ask
	// whoever knows (the log, a delivery receipt) before doing it.
	Pending
)

// Claim is the answer for one id.
type Claim struct {
	State State
	// Result is what Confirm stored with it; only when Confirmed.
	Result []byte
	// Span is when it would have been done; only when Pending, and only where it is known. It spares whoever asks the log
	// from reading all of it.
	Span event.Span
	// Gap is true when the id is Pending because the memory has a gap, and not because an earlier claim of this id lapsed.
	// There may have been no earlier attempt then.
	Gap bool
}

// Store is a memory. Every implementation passes the conformance suite in dedupetest. All methods are safe to repeat with
// the same arguments, because clients repeat them on their own when an answer is lost.
type Store interface {
	// Claim looks the ids up and claims the unknown ones for owner, in one round trip; the answers are index-aligned. Called
	// again by the owner of a claim, it gives the same answer and extends the lease.
	Claim(ctx context.Context, owner string, ids ...string) ([]Claim, error)

	// Confirm records that these were done. It needs no claim: the caller knows.
	Confirm(ctx context.Context, done ...Done) error

	// GiveBack ends owner's claims. With Undone the ids are free again, as they were found; with Unknown they stay
	// behind as Pending at once.
	GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error
}

// Done is one thing done, with what the doer wants to hear again should it be asked to do it twice; Result may be nil.
type Done struct {
	ID     string
	Result []byte
}

// Outcome is what the giver of a claim knows.
type Outcome int

const (
	// Undone means that it certainly did not happen.
	Undone Outcome = iota + 1
	// Unknown means that it may have happened.
	Unknown
)

// Options of a store.
type Options struct {
	// Namespace keeps users of one Redis or one bucket apart: the stage's name.
	Namespace string
	// Lease is how long a claim is its owner's; longer than the longest attempt.
	Lease time.Duration
	// Remember is how long a confirmation, and a claim left behind, is kept.
	Remember time.Duration
	// Waits is true for a user that does nothing while the memory is away. The gaps that others mark, who go on without it,
	// say nothing about what this user did.
	Waits bool
	// Ring keys the names and the confirmations in Redis; a bucket of NATS does not use it.
	Ring keyring.Ring
}

// ErrAway means that the memory cannot be reached. It says nothing about the ids.
var ErrAway = errors.New("dedupe memory is away")

// away says ErrAway of whatever keeps a keeper from answering, but not of the caller's own end.
func away(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	default:
		return fmt.Errorf("%s: %w: %w", op, ErrAway, err)
	}
}

// NewOwner makes a claimant's token: one for each attempt, so that a repeated call of one attempt is told from another
// attempt. It is 64 random bits and no secret: whoever can write to the memory needs none.
func NewOwner() string {
	return strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // it tells attempts apart, and guards nothing
}
