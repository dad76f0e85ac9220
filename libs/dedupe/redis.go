package dedupe

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is the memory that replicas share. A claim is "c<owner>|<end of lease>", a claim whose earlier owner is unknown to
// have done it "p<owner>|<end of lease>", a confirmation "1" and its result. Times are milliseconds by Redis's own
// clock, so replicas' clocks do not matter.
//
// A claim is decided by whose token stands there and not by whether SET NX succeeded: the client repeats a command whose
// answer was lost, and the repetition of a plain SET NX would read as "somebody did it" (go-redis issue 2985).
type Redis struct {
	client redis.UniversalClient
	batch  batcher
	Options
}

// NewRedis opens the memory in a Redis of version 6 or newer.
func NewRedis(client redis.UniversalClient, o Options) *Redis {
	r := &Redis{client: client, Options: o}
	r.batch.send = r.sendBatch
	return r
}

// epochKey stands as long as this Redis has forgotten nothing. It is the first thing written to an empty one.
const epochKey = "signrelay:epoch"

var (
	//go:embed giveback.lua
	giveBackSource string
	giveBackScript = redis.NewScript(giveBackSource)
)

func (r *Redis) key(id string) string { return r.Namespace + ":" + id }

func (r *Redis) claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error) {
	w := &want{what: "c", ids: ids, values: slices.Repeat([]string{owner}, len(ids))}
	if err := r.batch.do(ctx, w); err != nil {
		return nil, "", away(ctx, "claim", err)
	}
	if w.epoch == "" {
		return nil, "", nil // nothing was claimed
	}
	claims := make([]Claim, len(ids))
	for i, a := range w.answers {
		var err error
		if claims[i], err = parseAnswer(a); err != nil {
			return nil, "", err
		}
	}
	return claims, w.epoch, nil
}

// parseAnswer reads batch.lua's word for one id: "c" claimed, "p" pending, "h" held, "1…" confirmed with a result.
func parseAnswer(a string) (Claim, error) {
	switch {
	case a == "c":
		return Claim{State: Claimed}, nil
	case a == "p":
		return Claim{State: Pending}, nil
	case a == "h":
		return Claim{State: Held}, nil
	case a == "1":
		return Claim{State: Confirmed}, nil
	case len(a) > 1 && a[0] == '1':
		return Claim{State: Confirmed, Result: []byte(a[1:])}, nil
	default:
		return Claim{}, errors.New("claim: an entry that is neither a claim nor a confirmation; is this Redis shared with another program?")
	}
}

// Confirm implements Store.
func (r *Redis) Confirm(ctx context.Context, done ...Done) error {
	w := &want{what: "d", ids: make([]string, len(done)), values: make([]string, len(done))}
	for i, d := range done {
		w.ids[i], w.values[i] = d.ID, confirmation(d)
	}
	return away(ctx, "confirm", r.batch.do(ctx, w))
}

// confirmation is the entry of a thing done. A bare "1" costs no memory beside its key: Redis shares small integers.
func confirmation(d Done) string { return "1" + string(d.Result) }

// GiveBack implements Store.
func (r *Redis) GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	unknown := 0
	if outcome == Unknown {
		unknown = 1
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = r.key(id)
	}
	err := giveBackScript.Run(ctx, r.client, keys, owner, unknown, r.Remember.Milliseconds()).Err()
	return away(ctx, "give back", err)
}

// begin uses SET, as everything here does: a user of Redis is allowed few commands.
func (r *Redis) begin(ctx context.Context, epoch string) error {
	err := r.client.SetArgs(ctx, epochKey, epoch, redis.SetArgs{Mode: "NX"}).Err()
	if errors.Is(err, redis.Nil) { // one stands
		return nil
	}
	return away(ctx, "begin epoch", err)
}

// probeFor is how long a probe's entry may stay behind.
const probeFor = 10 * time.Second

// Probe does what a claim does, with the same scripts, on a key of its own in the namespace: it writes a claim, and gives it back. A
// Redis that answers PING may refuse that: a replica, a full one, a cluster, or one whose user lacks a command or a key.
func (r *Redis) Probe(ctx context.Context) error {
	key, owner := r.key("probe"), NewOwner()
	// Written as a confirmation is, because a Redis without an epoch takes no claim.
	write := []any{probeFor.Milliseconds(), probeFor.Milliseconds(), "d", "c" + owner + "|0"}
	if err := batchScript.Eval(ctx, r.client, []string{epochKey, key}, write...).Err(); err != nil {
		return err
	}
	if err := r.client.Time(ctx).Err(); err != nil {
		return err
	}
	return giveBackScript.Run(ctx, r.client, []string{key}, owner, 0, probeFor.Milliseconds()).Err()
}
