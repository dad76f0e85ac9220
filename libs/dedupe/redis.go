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

// Redis is the store that replicas share. A claim is "c<owner>|<end of lease>". A claim whose earlier owner may have done the work is
// "p<owner>|<end of lease>". entries.confirmation makes a confirmation. Times are milliseconds by Redis's own clock, so the clocks of
// replicas do not matter.
//
// The owner's token in the entry decides a claim, not the success of SET NX: the client retries a command whose reply was lost, and the
// retry of a plain SET NX would return "already done" (go-redis issue 2985).
type Redis struct {
	client  redis.UniversalClient
	batch   batcher
	entries entries
	known   atomic.Pointer[string] // the epoch for which claims are made; "" at first
	Options
}

// NewRedis opens the store in a Redis of version 6 or newer.
func NewRedis(client redis.UniversalClient, o Options) *Redis {
	r := &Redis{client: client, entries: entries{o.Namespace, keysOf(o.Ring)}, Options: o}
	r.batch.send = r.sendBatch
	r.known.Store(new(string))
	return r
}

// epochKey exists as long as this Redis has lost no data. It is the first key written to an empty Redis. All master keys share it: see Guard.
const epochKey = "signrelay:epoch"

var (
	//go:embed release.lua
	releaseSource string
	releaseScript = redis.NewScript(releaseSource)

	//go:embed begin.lua
	beginSource string
	beginScript = redis.NewScript(beginSource)
)

// claimTries bounds the calls for one claim: one that finds another epoch, one to claim, one to replace forged confirmations, and one for a
// concurrent change.
const claimTries = 4

func (r *Redis) claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error) {
	owners := slices.Repeat([]string{owner}, len(ids))
	for range claimTries {
		w := &want{what: "c", ids: ids, values: owners}
		if err := r.batch.do(ctx, w); err != nil {
			return nil, "", unavailable(ctx, "claim", err)
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
	return nil, "", unavailable(ctx, "claim", errUnsteady)
}

var (
	errUnsteady = errors.New("the epoch or the entries change with each read")
	errNotOurs  = errors.New("claim: an entry that is neither a claim nor a confirmation; is this Redis shared with another program?")
)

// read interprets the replies of batch.lua. If a confirmation is not genuine, read writes the entry into owners: the next claim with these
// owners replaces the entry and returns Pending, so the caller reads the log.
func (r *Redis) read(w *want, owners []string) (claims []Claim, genuine bool, err error) {
	claims, genuine = make([]Claim, len(w.ids)), true
	for i, reply := range w.replies {
		switch reply {
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
		entry := strings.TrimPrefix(reply, "=")
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
	return unavailable(ctx, "confirm", r.batch.do(ctx, w))
}

// Release implements Store.
func (r *Redis) Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	unknown := 0
	if outcome == Unknown {
		unknown = 1
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = r.entries.name(id)
	}
	err := releaseScript.Run(ctx, r.client, keys, owner, unknown, r.Remember.Milliseconds()).Err()
	return unavailable(ctx, "release", err)
}

// begin uses only GET and SET, like all scripts here: a service's Redis user may execute few commands.
func (r *Redis) begin(ctx context.Context, last uint64) error {
	found, err := r.client.Get(ctx, epochKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return unavailable(ctx, "begin epoch", err)
	}
	if _, ours := r.entries.epoch(found); ours {
		return nil
	}
	if found != "" { // an epoch of another master key: events that were stored in it after the log was read as empty are a gap, too
		last = max(last, 1)
	}
	err = beginScript.Run(ctx, r.client, []string{epochKey}, found, r.entries.newEpoch(last, time.Now())).Err()
	return unavailable(ctx, "begin epoch", err)
}

// ErrProbe means that Redis accepts no claims.
var ErrProbe = errors.New("a trial claim failed")

// probeFor is the maximum time for which a probe's entry remains.
const probeFor = 10 * time.Second

// Probe writes and releases a claim, with the same scripts, on its own key in the namespace. A Redis that responds to PING may still refuse
// that: a replica, a full Redis, a cluster, or a Redis whose user lacks a command or a key.
func (r *Redis) Probe(ctx context.Context) error {
	key, owner := r.Namespace+":probe", NewOwner()
	// Written like a confirmation, because a Redis without an epoch accepts no claim.
	write := []any{probeFor.Milliseconds(), probeFor.Milliseconds(), "", "d", "c" + owner + "|0"}
	err := batchScript.Eval(ctx, r.client, []string{epochKey, key}, write...).Err()
	if err == nil {
		err = r.client.Time(ctx).Err()
	}
	if err == nil {
		err = releaseScript.Run(ctx, r.client, []string{key}, owner, 0, probeFor.Milliseconds()).Err()
	}
	if err != nil { // Redis does not name the key that it refuses
		return fmt.Errorf("%w under the keys %s and %s:*: %w", ErrProbe, epochKey, r.Namespace, err)
	}
	return nil
}

// ReadEpoch reads the epoch in Redis: the log's last sequence when the epoch began, and the time when it began. ok is false unless the epoch
// was started with this ring; found reports whether there is any epoch.
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
