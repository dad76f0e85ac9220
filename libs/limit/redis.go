package limit

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/batching"
	"github.com/signrelay/signrelay/libs/keyring"
)

//go:embed take.lua
var takeScript string

//go:embed pause.lua
var pauseScript string

//go:embed count.lua
var countScript string

//go:embed total.lua
var totalScript string

//go:embed discard.lua
var discardScript string

// Redis limits the calls of all replicas together. While Redis is unavailable, each process limits its own calls, because work is more
// important than an exact limit.
type Redis struct {
	client              redis.Scripter
	cluster             bool
	ring                keyring.Ring
	names               keyring.Keys
	take, pause, count  *redis.Script
	countTotal, discard *redis.Script
	alone               *Local
	leases              leases
	calls               *batching.Queue[*scriptCall] // nil for a client without pipelines
}

// NewRedis makes a limiter that shares its slots through Redis. If ring has a master key, the names in Redis depend on it.
func NewRedis(client redis.Scripter, ring keyring.Ring) *Redis {
	_, cluster := client.(*redis.ClusterClient)
	return &Redis{
		client: client, cluster: cluster, ring: ring, names: ring.For("redis"), alone: NewLocal(),
		take: redis.NewScript(takeScript), pause: redis.NewScript(pauseScript), count: redis.NewScript(countScript),
		countTotal: redis.NewScript(totalScript), discard: redis.NewScript(discardScript),
		calls: newCalls(client),
	}
}

// longestPause bounds the time for which an entry in Redis can stop calls, no matter which program wrote it.
const longestPause = time.Hour

// name returns the name in Redis of an entry of the key. With a master key it hides the key's remainder after the first word. The first word
// stays readable, because a service's Redis user may use only keys with certain first words (flow.RedisUsers).
func (r *Redis) name(key, entry string) string {
	if scope, rest, found := strings.Cut(key, "/"); found && r.ring.Set() {
		mac := r.names.MAC("limit " + scope + "/" + rest)
		key = scope + "/" + base64.RawURLEncoding.EncodeToString(mac[:12])
	}
	return "signrelay:limit:{" + key + "}:" + entry
}

// Take implements Limiter. At a high rate, several slots are taken at once, see lease.
func (r *Redis) Take(ctx context.Context, key string, rate Rate, maxWait time.Duration) (time.Duration, bool, error) {
	l := r.leases.of(key, rate)
	if l == nil {
		ahead, taken, err := r.takeSlots(ctx, key, rate, maxWait, 1)
		return max(ahead, 0), taken > 0, err
	}
	if !l.lock(ctx) {
		return 0, false, ctx.Err()
	}
	defer l.unlock()
	if wait, held := l.take(time.Now()); held {
		if wait > maxWait { // so are the slots that are not leased yet
			return wait, false, nil
		}
		l.used()
		return wait, true, nil
	}
	ahead, taken, err := r.takeSlots(ctx, key, rate, maxWait, l.want())
	if taken > 1 {
		l.add(time.Now(), ahead+rate.interval(), taken-1)
	}
	return max(ahead, 0), taken > 0, err
}

// takeSlots takes up to n slots; it returns the time until the first of them, and how many it took. Without Redis it takes one slot of this
// process.
func (r *Redis) takeSlots(ctx context.Context, key string, rate Rate, maxWait time.Duration, n int) (ahead time.Duration, taken int, err error) {
	reply, err := r.run(ctx, r.take, []string{r.name(key, "next"), r.name(key, "paused")},
		rate.interval().Microseconds(), rate.burst().Microseconds(), maxWait.Microseconds(), longestPause.Microseconds(), n).Int64Slice()
	switch {
	case ctx.Err() != nil:
		return 0, 0, ctx.Err()
	case err != nil:
		ahead, own, err := r.alone.Take(ctx, key, rate, maxWait)
		if own {
			taken = 1
		}
		return ahead, taken, err
	case len(reply) != 2:
		return 0, 0, fmt.Errorf("take a slot: %d numbers instead of 2", len(reply))
	}
	return time.Duration(reply[0]) * time.Microsecond, int(reply[1]), nil
}

// Pause implements Limiter. It pauses for an hour at most.
func (r *Redis) Pause(ctx context.Context, key string, d time.Duration) error {
	d = min(d, longestPause)
	r.leases.drop(key)
	if err := r.pause.Run(ctx, r.client, []string{r.name(key, "paused")}, d.Microseconds(), longestPause.Microseconds()).Err(); err != nil {
		return r.alone.Pause(ctx, key, d)
	}
	return nil
}

// Count implements Limiter. It takes one round trip, and in a cluster one more for each total.
func (r *Redis) Count(ctx context.Context, id string, all Tally) (full int, room time.Duration, err error) {
	if !all.limited() {
		return Counted, 0, nil
	}
	t := all
	totals, indices := all.withLimit()
	t.Totals = totals
	count := r.countOnce
	if r.cluster && len(t.Totals) > 0 {
		count = r.countInSlots
	}
	full, room, err = count(ctx, id, t)
	switch {
	case ctx.Err() != nil:
		return 0, 0, ctx.Err()
	case err != nil:
		return r.alone.Count(ctx, id, all)
	case full == countedBefore:
		return Counted, 0, nil
	case full >= len(t.Quotas):
		return len(t.Quotas) + indices[full-len(t.Quotas)], room, nil
	}
	return full, room, nil
}

// countedBefore is the result of count.lua for an item that was counted by an earlier call.
const countedBefore = -2

// countInSlots is countOnce in a cluster, where a script cannot use the keys of several totals. It counts the item under its own key, then
// in each total, and undoes that if a total is full. A program that dies in between leaves the item out of the remaining totals.
func (r *Redis) countInSlots(ctx context.Context, id string, t Tally) (full int, room time.Duration, err error) {
	own := t
	own.Totals = nil
	full, room, err = r.countOnce(ctx, id, own)
	if err != nil || full != Counted {
		return full, room, err
	}
	for i, q := range t.Totals {
		added, err := r.addTotal(ctx, q, 1)
		if err == nil && added {
			continue
		}
		ctx := context.WithoutCancel(ctx)
		var undo error
		for _, earlier := range t.Totals[:i] {
			_, failed := r.addTotal(ctx, earlier, -1)
			undo = errors.Join(undo, failed)
		}
		keep, _ := t.kept()
		undo = errors.Join(undo, r.discard.Run(ctx, r.client, []string{r.name(t.Key, "count")}, mark(id), keep.Milliseconds()).Err())
		return len(t.Quotas) + i, 0, errors.Join(err, undo)
	}
	return Counted, 0, nil
}

// addTotal adds n to a total; it reports whether there was room.
func (r *Redis) addTotal(ctx context.Context, q Total, n int) (room bool, err error) {
	done, err := r.countTotal.Run(ctx, r.client, []string{r.name(q.Key, "count")}, n, q.Most, q.Per.Milliseconds()).Int()
	return done == 1, err
}

// countOnce counts an item with one script.
func (r *Redis) countOnce(ctx context.Context, id string, t Tally) (full int, room time.Duration, err error) {
	keep, most := t.kept()
	keys := []string{r.name(t.Key, "count")}
	args := []any{mark(id), keep.Milliseconds(), most, len(t.Quotas)}
	for _, q := range t.Quotas {
		args = append(args, q.Most, q.Per.Milliseconds())
	}
	for _, q := range t.Totals {
		keys = append(keys, r.name(q.Key, "count"))
		args = append(args, q.Most, q.Per.Milliseconds())
	}
	reply, err := r.run(ctx, r.count, keys, args...).Int64Slice()
	switch {
	case err != nil:
		return 0, 0, err
	case len(reply) != 2:
		return 0, 0, fmt.Errorf("count an item: %d numbers instead of 2", len(reply))
	}
	return int(reply[0]), time.Duration(reply[1]) * time.Millisecond, nil
}

// probeKey is the key of Probe; see flow.RedisUsers.
const probeKey = "probe"

// Probe takes a slot under its own key, as a call does, and returns the error of Redis, if any. Take itself continues without Redis.
func (r *Redis) Probe(ctx context.Context) error {
	next, paused := r.name(probeKey, "next"), r.name(probeKey, "paused")
	if err := r.take.Run(ctx, r.client, []string{next, paused}, 1, 0, 0, longestPause.Microseconds(), 1).Err(); err != nil {
		return fmt.Errorf("take a slot under the keys %s and %s: %w", next, paused, err)
	}
	return nil
}
