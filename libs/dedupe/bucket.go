package dedupe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Bucket is the dedupe store of a program without Redis: a JetStream key-value bucket. Its entries have the same form as those in Redis;
// times are by this program's clock.
type Bucket struct {
	kv jetstream.KeyValue
	Options
}

// NewBucket opens the store in kv. The TTL of kv bounds Options.Remember.
func NewBucket(kv jetstream.KeyValue, o Options) *Bucket {
	return &Bucket{kv: kv, Options: o}
}

func (b *Bucket) key(id string) string { return b.Namespace + "." + id }

// atOnce is the number of ids of one call that are written at the same time: each write waits for the disk, and a batch of the eSignature API
// v1 can have thousands of ids.
const atOnce = 32

const bucketEpochKey = "epoch"

// epochRefresh is the age at which the epoch is written again. Otherwise it would expire with the bucket's other entries.
const epochRefresh = 24 * time.Hour

func (b *Bucket) claim(ctx context.Context, owner string, ids []string) ([]found, error) {
	epoch, err := b.kv.Get(ctx, bucketEpochKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return make([]found, len(ids)), nil
	case err != nil:
		return nil, unavailable(ctx, "claim", err)
	}
	if time.Since(epoch.Created()) > epochRefresh {
		if _, err := b.kv.Put(ctx, bucketEpochKey, epoch.Value()); err != nil {
			return nil, unavailable(ctx, "refresh epoch", err)
		}
	}
	claims := make([]found, len(ids))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, id := range ids {
		all.Go(func() (err error) {
			claims[i].epoch = string(epoch.Value())
			claims[i].Claim, err = b.claimOne(ctx, owner, id)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, unavailable(ctx, "claim", err)
	}
	return claims, nil
}

// claimOne claims one id. Another process may write between the read and the write; claimOne then reads again. After four such changes it
// returns Held, because other processes are working on the id.
func (b *Bucket) claimOne(ctx context.Context, owner, id string) (Claim, error) {
	for range 4 {
		_, err := b.kv.Create(ctx, b.key(id), b.entry('c', owner))
		if err == nil {
			return Claim{State: Claimed}, nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return Claim{}, err
		}
		found, err := b.kv.Get(ctx, b.key(id))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // released in between
		}
		if err != nil {
			return Claim{}, err
		}
		claim, replace, err := b.judge(found.Value(), owner)
		if err != nil || replace == 0 {
			return claim, err
		}
		_, err = b.kv.Update(ctx, b.key(id), b.entry(replace, owner), found.Revision())
		if err == nil {
			return claim, nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return Claim{}, err
		}
	}
	return Claim{State: Held}, nil
}

// judge reads an existing entry. replace is the kind of entry to replace it with: to take over a claim whose lease ended, or to extend the
// owner's lease. 0 leaves the entry as it is.
func (b *Bucket) judge(entry []byte, owner string) (claim Claim, replace byte, err error) {
	if len(entry) > 0 && entry[0] == '1' {
		claim = Claim{State: Confirmed}
		if len(entry) > 1 {
			claim.Result = entry[1:]
		}
		return claim, 0, nil
	}
	kind, whose, ends, ok := parseEntry(entry)
	switch {
	case !ok:
		return Claim{}, 0, errors.New("an entry that is neither a claim nor a confirmation")
	case whose == owner && kind == 'c':
		return Claim{State: Claimed}, 'c', nil
	case whose == owner:
		return Claim{State: Pending}, 'p', nil
	case ends > time.Now().UnixMilli():
		return Claim{State: Held}, 0, nil
	default:
		return Claim{State: Pending}, 'p', nil
	}
}

func (b *Bucket) entry(kind byte, owner string) []byte {
	return fmt.Appendf(nil, "%c%s|%d", kind, owner, time.Now().Add(b.Lease).UnixMilli())
}

func parseEntry(entry []byte) (kind byte, owner string, ends int64, ok bool) {
	if len(entry) == 0 || (entry[0] != 'c' && entry[0] != 'p') {
		return 0, "", 0, false
	}
	whose, end, found := bytes.Cut(entry[1:], []byte("|"))
	ends, err := strconv.ParseInt(string(end), 10, 64)
	return entry[0], string(whose), ends, found && err == nil
}

// Confirm implements Store.
func (b *Bucket) Confirm(ctx context.Context, done ...Done) error {
	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, d := range done {
		all.Go(func() error {
			_, err := b.kv.Put(ctx, b.key(d.ID), append([]byte{'1'}, d.Result...))
			return err
		})
	}
	return unavailable(ctx, "confirm", all.Wait())
}

// Release implements Store.
func (b *Bucket) Release(ctx context.Context, owner string, outcome Outcome, ids ...string) error {
	for _, id := range ids {
		if err := b.releaseOne(ctx, owner, outcome, id); err != nil {
			return unavailable(ctx, "release", err)
		}
	}
	return nil
}

func (b *Bucket) releaseOne(ctx context.Context, owner string, outcome Outcome, id string) error {
	found, err := b.kv.Get(ctx, b.key(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	kind, whose, _, ok := parseEntry(found.Value())
	switch {
	case !ok || whose != owner:
		return nil // confirmed, or another owner's by now
	case outcome == Unknown || kind == 'p':
		_, err = b.kv.Update(ctx, b.key(id), []byte("p|0"), found.Revision())
	default:
		err = b.kv.Delete(ctx, b.key(id), jetstream.LastRevision(found.Revision()))
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil // changed in between: the claim is no longer the owner's
	}
	return err
}

// BeginEpoch starts the epoch of a bucket now, unless it has one. Call it before a new installation stores its first event: a bucket that is used
// for the first time later would take the events before that for a gap.
func BeginEpoch(ctx context.Context, kv jetstream.KeyValue, log Log) error {
	_, last, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	return (&Bucket{kv: kv}).begin(ctx, last, nil)
}

func (b *Bucket) begin(ctx context.Context, last uint64, _ []string) error {
	_, err := b.kv.Create(ctx, bucketEpochKey, []byte(newEpoch(last, time.Now())))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil
	}
	return unavailable(ctx, "begin epoch", err)
}
