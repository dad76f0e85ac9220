package dedupe

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Redis is the memory that replicas share. A claim is "c<owner>|<end of lease>", a claim whose earlier owner is unknown to
// have done it "p<owner>|<end of lease>", a confirmation "1" and its result. Times are milliseconds by Redis's own
// clock, so replicas' clocks do not matter.
//
// A claim is decided by whose token stands there and not by whether SET NX succeeded: the client repeats a command whose
// answer was lost, and the repetition of a plain SET NX would read as "somebody did it" (go-redis issue 2985).
type Redis struct {
	client redis.Cmdable
	Options
}

// NewRedis opens the memory in a Redis of version 6 or newer. The client may be one that sends the commands of concurrent
// callers together (AutoPipeline): each of ours stands alone.
func NewRedis(client redis.Cmdable, o Options) *Redis {
	return &Redis{client: client, Options: o}
}

// epochKey stands as long as this Redis has forgotten nothing. It is the first thing written to an empty one.
const epochKey = "signrelay:epoch"

var (
	//go:embed claim.lua
	claimSource string
	claimScript = redis.NewScript(claimSource)

	//go:embed giveback.lua
	giveBackSource string
	giveBackScript = redis.NewScript(giveBackSource)
)

func (r *Redis) key(id string) string { return r.Namespace + ":" + id }

func (r *Redis) keys(ids []string, first ...string) []string {
	keys := make([]string, 0, len(first)+len(ids))
	keys = append(keys, first...)
	for _, id := range ids {
		keys = append(keys, r.key(id))
	}
	return keys
}

func (r *Redis) claim(ctx context.Context, owner string, ids []string) ([]Claim, string, error) {
	answer, err := claimScript.Run(ctx, r.client, r.keys(ids, epochKey), owner, r.Lease.Milliseconds(), r.Remember.Milliseconds()).StringSlice()
	if err != nil {
		return nil, "", away(ctx, "claim", err)
	}
	if len(answer) == 0 {
		return nil, "", nil // no epoch: nothing was claimed
	}
	if len(answer) != len(ids)+1 {
		return nil, "", fmt.Errorf("claim: %d answers for %d ids", len(answer)-1, len(ids))
	}
	claims := make([]Claim, len(ids))
	for i, a := range answer[1:] {
		if claims[i], err = parseAnswer(a); err != nil {
			return nil, "", err
		}
	}
	return claims, answer[0], nil
}

// parseAnswer reads the claim script's word for one id: "c" claimed, "p" pending, "h" held, "1…" confirmed with a result.
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
	if len(done) == 1 {
		d := done[0]
		return away(ctx, "confirm", r.client.Set(ctx, r.key(d.ID), confirmation(d), r.Remember).Err())
	}
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, d := range done {
			p.Set(ctx, r.key(d.ID), confirmation(d), r.Remember)
		}
		return nil
	})
	return away(ctx, "confirm", err)
}

// confirmation is the entry of a thing done. A bare "1" costs no memory beside its key: Redis shares small integers.
func confirmation(d Done) string { return "1" + string(d.Result) }

// GiveBack implements Store.
func (r *Redis) GiveBack(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	unknown := 0
	if outcome == Unknown {
		unknown = 1
	}
	err := giveBackScript.Run(ctx, r.client, r.keys(ids), owner, unknown, r.Remember.Milliseconds()).Err()
	return away(ctx, "give back", err)
}

func (r *Redis) begin(ctx context.Context, epoch string) error {
	return away(ctx, "begin epoch", r.client.SetNX(ctx, epochKey, epoch, 0).Err())
}

// away says ErrAway of whatever keeps Redis from answering, but not of the caller's own end.
func away(ctx context.Context, op string, err error) error {
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return nil
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	default:
		return fmt.Errorf("%s: %w: %w", op, ErrAway, err)
	}
}
