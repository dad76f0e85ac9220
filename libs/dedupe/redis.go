package dedupe

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/keyring"
)

// Redis is the memory that replicas share. A claim is "c<owner>|<end of lease>", a claim whose earlier owner is unknown to
// have done it "p<owner>|<end of lease>"; entries.confirmation is a confirmation. Times are milliseconds by Redis's own
// clock, so replicas' clocks do not matter.
//
// A claim is decided by whose token stands there and not by whether SET NX succeeded: the client repeats a command whose
// answer was lost, and the repetition of a plain SET NX would read as "somebody did it" (go-redis issue 2985).
type Redis struct {
	client  redis.UniversalClient
	batch   batcher
	entries entries
	known   atomic.Pointer[string] // the epoch for which claims are made; "" at first
	Options
}

// NewRedis opens the memory in a Redis of version 6 or newer.
func NewRedis(client redis.UniversalClient, o Options) *Redis {
	r := &Redis{client: client, entries: entries{o.Namespace, keysOf(o.Ring)}, Options: o}
	r.batch.send = r.sendBatch
	r.known.Store(new(string))
	return r
}

// epochKey stands as long as this Redis has forgotten nothing. It is the first thing written to an empty one. There is one for all
// master keys: see Guard.
const epochKey = "signrelay:epoch"

var (
	//go:embed giveback.lua
	giveBackSource string
	giveBackScript = redis.NewScript(giveBackSource)

	//go:embed begin.lua
	beginSource string
	beginScript = redis.NewScript(beginSource)
)

// claimTries bounds the calls for one claim: one each to hear of another epoch, to claim, and to replace forged confirmations, and one
// for a change in between.
const claimTries = 4

func (r *Redis) claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error) {
	owners := slices.Repeat([]string{owner}, len(ids))
	for range claimTries {
		w := &want{what: "c", ids: ids, values: owners}
		if err := r.batch.do(ctx, w); err != nil {
			return nil, "", away(ctx, "claim", err)
		}
		epoch, ours := r.entries.epoch(w.epoch)
		switch {
		case !ours:
			return nil, "", nil // nothing was claimed
		case w.epoch != w.known:
			r.known.Store(&w.epoch)
			continue
		}
		claims, genuine, err := r.read(w, owners)
		if err != nil || genuine {
			return claims, epoch, err
		}
	}
	return nil, "", away(ctx, "claim", errUnsteady)
}

var (
	errUnsteady = errors.New("the epoch or the entries change with each look")
	errNotOurs  = errors.New("claim: an entry that is neither a claim nor a confirmation; is this Redis shared with another program?")
)

// read reads batch.lua's words. Where a confirmation is not genuine, the next claim with these owners replaces it, and finds the id pending: the
// log is asked whether it was done.
func (r *Redis) read(w *want, owners []string) (claims []Claim, genuine bool, err error) {
	claims, genuine = make([]Claim, len(w.ids)), true
	for i, answer := range w.answers {
		switch answer {
		case "c":
			claims[i].State = Claimed
			continue
		case "p":
			claims[i].State = Pending
			continue
		case "h":
			claims[i].State = Held
			continue
		}
		entry := strings.TrimPrefix(answer, "=")
		result, ok := r.entries.result(w.ids[i], entry)
		switch {
		case ok:
			claims[i] = Claim{State: Confirmed, Result: result}
		case r.entries.keys == nil:
			return nil, false, errNotOurs
		default:
			owner, _, _ := strings.Cut(owners[i], "|")
			owners[i], genuine = owner+"|"+entry, false
		}
	}
	return claims, genuine, nil
}

// Confirm implements Store.
func (r *Redis) Confirm(ctx context.Context, done ...Done) error {
	w := &want{what: "d", ids: make([]string, len(done)), values: make([]string, len(done))}
	for i, d := range done {
		w.ids[i], w.values[i] = d.ID, r.entries.confirmation(d)
	}
	return away(ctx, "confirm", r.batch.do(ctx, w))
}

// GiveBack implements Store.
func (r *Redis) GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	unknown := 0
	if outcome == Unknown {
		unknown = 1
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = r.entries.name(id)
	}
	err := giveBackScript.Run(ctx, r.client, keys, owner, unknown, r.Remember.Milliseconds()).Err()
	return away(ctx, "give back", err)
}

// begin uses GET and SET, as everything here does: a user of Redis is allowed few commands.
func (r *Redis) begin(ctx context.Context, last uint64) error {
	found, err := r.client.Get(ctx, epochKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return away(ctx, "begin epoch", err)
	}
	if _, ours := r.entries.epoch(found); ours {
		return nil
	}
	if found != "" { // another key's: what was stored in that epoch since we looked at an empty log is a gap, too
		last = max(last, 1)
	}
	err = beginScript.Run(ctx, r.client, []string{epochKey}, found, r.entries.newEpoch(last, time.Now())).Err()
	return away(ctx, "begin epoch", err)
}

// ErrProbe means that Redis takes no claims.
var ErrProbe = errors.New("a claim on trial failed")

// probeFor is how long a probe's entry may stay behind.
const probeFor = 10 * time.Second

// Probe does what a claim does, with the same scripts, on a key of its own in the namespace: it writes a claim, and gives it back. A
// Redis that answers PING may refuse that: a replica, a full one, a cluster, or one whose user lacks a command or a key.
func (r *Redis) Probe(ctx context.Context) error {
	key, owner := r.Namespace+":probe", NewOwner()
	// Written as a confirmation is, because a Redis without an epoch takes no claim.
	write := []any{probeFor.Milliseconds(), probeFor.Milliseconds(), "", "d", "c" + owner + "|0"}
	err := batchScript.Eval(ctx, r.client, []string{epochKey, key}, write...).Err()
	if err == nil {
		err = r.client.Time(ctx).Err()
	}
	if err == nil {
		err = giveBackScript.Run(ctx, r.client, []string{key}, owner, 0, probeFor.Milliseconds()).Err()
	}
	if err != nil { // Redis does not say which key it refuses
		return fmt.Errorf("%w under the keys %s and %s:*: %w", ErrProbe, epochKey, r.Namespace, err)
	}
	return nil
}

// ReadEpoch reads the epoch of the memory in Redis: the last sequence of the log when it began, and when it began. ok is false where none stands
// that was begun with this ring; found tells whether there is any.
func ReadEpoch(ctx context.Context, client redis.UniversalClient, ring keyring.Ring) (last uint64, began time.Time, found, ok bool, err error) {
	text, err := client.Get(ctx, epochKey).Result()
	if err != nil {
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return 0, time.Time{}, false, false, err
	}
	epoch, ok := entries{keys: keysOf(ring)}.epoch(text)
	if ok {
		last, began, ok = parseEpoch(epoch)
	}
	return last, began, true, ok, nil
}
