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
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/batching"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
)

// Redis is the store that replicas share. A claim is "c<owner>|<end of lease>". A claim whose earlier owner may have done the work is
// "p<owner>|<end of lease>". entries.confirmation makes a confirmation. Times are milliseconds by Redis's own clock, so the clocks of
// replicas do not matter.
//
// The owner's token in the entry decides a claim, not the success of SET NX: the client retries a command whose reply was lost, and the
// retry of a plain SET NX would return "already done" (go-redis issue 2985).
type Redis struct {
	client   redis.UniversalClient
	batches  *batching.Queue[*request]
	entries  entries
	clocks   []clock                    // by part
	seen     []atomic.Pointer[sighting] // by part
	oldUntil atomic.Int64               // until then the server counts as older than Redis 7, in ns
	Options
}

// NewRedis opens the store in a Redis of version 6 or newer, or in a Redis Cluster.
func NewRedis(client redis.UniversalClient, o Options) *Redis {
	_, cluster := client.(*redis.ClusterClient)
	o.Failover = o.Failover || cluster
	parts := partsOf(cluster)
	r := &Redis{
		client: client, entries: entries{o.Namespace, keysOf(o.Ring), parts}, Options: o,
		clocks: make([]clock, len(parts)), seen: make([]atomic.Pointer[sighting], len(parts)),
	}
	r.batches = r.newBatches()
	return r
}

var (
	//go:embed release.lua
	releaseSource string
	releaseScript = redis.NewScript(releaseSource)

	//go:embed begin.lua
	beginSource string
	beginScript = redis.NewScript(beginSource)
)

// claimTries bounds the calls for one claim: one to claim, one to replace forged confirmations, and two for concurrent changes.
const claimTries = 4

func (r *Redis) claim(ctx context.Context, owner string, ids []string) ([]found, error) {
	owners := slices.Repeat([]string{owner}, len(ids))
	for range claimTries {
		w := &request{ids: ids, values: owners}
		if err := r.do(ctx, w); err != nil {
			return nil, unavailable(ctx, "claim", err)
		}
		all, settled, err := r.read(w, owners)
		if err != nil || settled {
			return all, err
		}
	}
	return nil, unavailable(ctx, "claim", errUnsteady)
}

var (
	errUnsteady = errors.New("the epoch or the entries change with each read")
	errNotOurs  = errors.New("claim: an entry that is neither a claim nor a confirmation; is this Redis shared with another program?")
)

// read interprets the replies of a batch. If a confirmation is not genuine, read writes the entry into owners: the next claim with these
// owners replaces the entry and returns Pending, so the caller reads the log. settled is false if the ids have to be claimed again.
func (r *Redis) read(w *request, owners []string) (all []found, settled bool, err error) {
	all, settled = make([]found, len(w.ids)), true
	for i, reply := range w.replies {
		s := w.stamps[i]
		if !s.ours {
			continue // nothing was claimed, and no epoch says so
		}
		all[i].epoch, all[i].lost = s.epoch, s.lost
		switch reply {
		case "c":
			all[i].State = Claimed
			continue
		case "p":
			all[i].State = Pending
			continue
		case "h":
			all[i].State = Held
			continue
		case "": // the epoch changed during the batch
			settled = false
			continue
		}
		entry := strings.TrimPrefix(reply, "=")
		result, ok := r.entries.result(w.ids[i], entry)
		switch {
		case ok:
			all[i].Claim = Claim{State: Confirmed, Result: result}
		case r.entries.keys == nil:
			return nil, false, errNotOurs
		default:
			owner, _, _ := strings.Cut(owners[i], "|")
			owners[i], settled = owner+"|"+entry, false
		}
	}
	return all, settled, nil
}

// Confirm implements Store.
func (r *Redis) Confirm(ctx context.Context, done ...Done) error {
	w := &request{confirm: true, ids: make([]string, len(done)), values: make([]string, len(done))}
	for i, d := range done {
		w.ids[i], w.values[i] = d.ID, r.entries.confirmation(d)
	}
	return unavailable(ctx, "confirm", r.do(ctx, w))
}

// Release implements Store.
func (r *Redis) Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	unknown := 0
	if outcome == Unknown {
		unknown = 1
	}
	keys := make([][]string, len(r.entries.parts))
	for _, id := range ids {
		key, part := r.entries.locate(id)
		keys[part] = append(keys[part], key)
	}
	var errs []error
	for _, keys := range keys {
		if len(keys) > 0 {
			errs = append(errs, releaseScript.Run(ctx, r.client, keys, owner, unknown, r.Remember.Milliseconds()).Err())
		}
	}
	return unavailable(ctx, "release", errors.Join(errs...))
}

// begin uses only GET and SET, like all scripts here: a service's Redis user may execute few commands.
func (r *Redis) begin(ctx context.Context, last uint64, ids []string) error { //nolint:unparam // Guard calls it through Backend with the log's last sequence
	begun := make([]bool, len(r.entries.parts))
	for _, id := range ids {
		if _, part := r.entries.locate(id); !begun[part] {
			begun[part] = true
			if err := r.beginPart(ctx, r.entries.parts[part].epoch, last); err != nil {
				return unavailable(ctx, "begin epoch", err)
			}
		}
	}
	// The other parts of a cluster begin too: a part that is used for the first time later would take the events before that for a gap. A part
	// whose server is away begins at its next claim.
	for part, done := range begun {
		if !done {
			_ = r.beginPart(ctx, r.entries.parts[part].epoch, last)
		}
	}
	return nil
}

func (r *Redis) beginPart(ctx context.Context, key string, last uint64) error {
	text, err := r.client.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if _, ours := r.entries.epoch(text); ours {
		return nil
	}
	if text != "" { // another key's: events that were stored in that epoch since the log was read (and was empty) are a gap, too
		last = max(last, 1)
	}
	return beginScript.Run(ctx, r.client, []string{key}, text, r.entries.newEpoch(last, time.Now())).Err()
}

// ErrProbe means that Redis accepts no claims.
var ErrProbe = errors.New("a trial claim failed")

// probeFor is the maximum time for which a probe's entry remains.
const probeFor = 10 * time.Second

// Probe does what a claim does, with the same commands and scripts, on a key of its own in each part of the namespace: it writes a claim
// and releases it. A Redis that answers PING may refuse that: a replica, a full Redis, a cluster that lacks a primary, or a Redis whose user
// lacks a command or a key.
func (r *Redis) Probe(ctx context.Context) error {
	var all errgroup.Group
	for i, p := range r.entries.parts {
		all.Go(func() error {
			if err := r.probePart(ctx, i); err != nil { // Redis does not name the key that it refuses
				return fmt.Errorf("%w under the keys %s and %s:*: %w", ErrProbe, p.epoch, r.Namespace, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// ProbeForget does what Forget does, on a key that no claim has, in each part of the namespace.
func (r *Redis) ProbeForget(ctx context.Context) error {
	for _, p := range r.entries.parts {
		key := r.Namespace + ":" + p.tag + "probe"
		if err := r.client.Del(ctx, key).Err(); err != nil {
			return fmt.Errorf("%w: the key %s cannot be removed: %w", ErrProbe, key, err)
		}
	}
	return nil
}

func (r *Redis) probePart(ctx context.Context, i int) error {
	p := r.entries.parts[i]
	key, owner := r.Namespace+":"+p.tag+"probe", NewOwner()
	pipe, s := r.client.Pipeline(), new(stamp)
	set := pipe.Set(ctx, key, "c"+owner+"|0", probeFor)
	r.queueStamp(ctx, pipe, i, s)
	sent := time.Now()
	_, _ = pipe.Exec(ctx)
	if err := set.Err(); err != nil {
		return err
	}
	if err := r.readStamp(ctx, i, s, sent); err != nil {
		return err
	}
	r.heartbeat(ctx, i, s)
	// Without an epoch the script claims nothing, but it executes the command that a service's user may lack.
	if err := batchScript.Eval(ctx, r.client, []string{p.epoch, key}, probeFor.Milliseconds(), probeFor.Milliseconds(), s.text, owner).Err(); err != nil {
		return err
	}
	return releaseScript.Run(ctx, r.client, []string{key}, owner, 0, probeFor.Milliseconds()).Err()
}

// Epoch is the epoch of one part of the dedupe store.
type Epoch struct {
	Found bool // whether there is any epoch
	OK    bool // whether it was started with our ring
	Last  uint64
	Began time.Time
	// Lost is the time in which entries may have been lost in a failover; zero for none.
	Lost event.Span
}

// ReadEpochs reads the epochs in Redis, one for each part: the log's last sequence when the epoch began, and the time when it began.
func ReadEpochs(ctx context.Context, client redis.UniversalClient, ring keyring.Ring) ([]Epoch, error) {
	r := NewRedis(client, Options{Ring: ring})
	all := make([]Epoch, len(r.entries.parts))
	for i, p := range r.entries.parts {
		text, err := client.Get(ctx, p.epoch).Result()
		switch {
		case errors.Is(err, redis.Nil):
			continue
		case err != nil:
			return nil, err
		}
		all[i].Found = true
		if epoch, ok := r.entries.epoch(text); ok {
			all[i].Last, all[i].Began, all[i].OK = parseEpoch(epoch)
		}
		if text, err = client.Get(ctx, p.lineage).Result(); err == nil {
			if l, ok := r.entries.lineage(text); ok {
				all[i].Lost = l.lost()
			}
		}
	}
	return all, nil
}

// Forget removes everything that the store has about these ids.
func (r *Redis) Forget(ctx context.Context, ids ...string) error {
	pipe := r.client.Pipeline()
	for _, id := range ids {
		key, _ := r.entries.locate(id)
		pipe.Del(ctx, key)
	}
	_, err := pipe.Exec(ctx)
	return unavailable(ctx, "forget", err)
}
