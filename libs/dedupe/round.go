package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed batch.lua
	batchSource string
	batchScript = redis.NewScript(batchSource)
)

// job is one id of a batch.
type job struct {
	from  *request
	index int // of the id in from
	key   string
	part  int

	set  *redis.StatusCmd // SET key claim NX GET; nil if only the script can claim the id
	ends int64            // the end of the lease in it
}

func (j *job) reply(text string) { j.from.replies[j.index] = text }

// sendBatch executes a batch in one pipeline: "SET key claim NX GET" for each claim, "SET" for each confirmation, and after the claims the
// state of each part that they touch. The state comes last, on the same connection: if the part lost its entries before a claim was
// written, the state shows that. A script claims the ids that have an entry already.
func (r *Redis) sendBatch(ctx context.Context, batch []*request) error {
	pipe := r.client.Pipeline()
	native := !r.tooOld()
	var claims []job
	var confirmations []*redis.StatusCmd
	stamps := make([]*stamp, len(r.entries.parts))
	for _, w := range batch {
		if !w.confirm {
			w.replies, w.stamps = make([]string, len(w.ids)), make([]*stamp, len(w.ids))
		}
		for i, id := range w.ids {
			key, part := r.entries.locate(id)
			if w.confirm {
				confirmations = append(confirmations, pipe.Set(ctx, key, w.values[i], r.Remember))
				continue
			}
			j := job{from: w, index: i, key: key, part: part}
			if now, ok := r.clocks[part].now(); ok && native && !strings.Contains(w.values[i], "|") {
				j.ends = now + r.Lease.Milliseconds()
				claim := "c" + w.values[i] + "|" + strconv.FormatInt(j.ends, 10)
				j.set = pipe.SetArgs(ctx, key, claim, redis.SetArgs{Mode: "NX", Get: true, TTL: r.Remember})
			}
			claims = append(claims, j)
			if stamps[part] == nil {
				stamps[part] = new(stamp)
			}
			w.stamps[i] = stamps[part]
		}
	}
	for part, s := range stamps {
		if s != nil {
			r.queueStamp(ctx, pipe, part, s)
		}
	}
	sent := time.Now()
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, c := range confirmations {
		if err := c.Err(); err != nil {
			return err
		}
	}
	for part, s := range stamps {
		if s == nil {
			continue
		}
		if err := r.readStamp(ctx, part, s, sent); err != nil {
			return err
		}
	}
	rest, err := r.readClaims(claims, stamps)
	if err != nil {
		return err
	}
	for part, jobs := range rest {
		if len(jobs) == 0 {
			continue
		}
		if err := r.claimByScript(ctx, part, stamps[part].text, jobs); err != nil {
			return err
		}
	}
	for part, s := range stamps {
		if s != nil {
			r.heartbeat(ctx, part, s)
		}
	}
	return nil
}

// leaseError is how far the end of a lease may be from its time by the server's clock. The end is computed from the last reading of that
// clock; it is wrong after the clock was set, or after a failover to a server with another clock.
const leaseError = time.Second

// readClaims reads the replies of the SET commands and returns the jobs of each part that need the script.
func (r *Redis) readClaims(claims []job, stamps []*stamp) (rest [][]*job, err error) {
	rest = make([][]*job, len(stamps))
	for i := range claims {
		j := &claims[i]
		s := stamps[j.part]
		entry := ""
		if j.set != nil {
			entry, err = j.set.Result()
		}
		switch {
		case j.set != nil && err != nil && !errors.Is(err, redis.Nil) && !olderServer(err):
			return nil, err
		case !s.ours: // there is no epoch in which this id could be claimed
		case j.set == nil:
			rest[j.part] = append(rest[j.part], j)
		case errors.Is(err, redis.Nil):
			if off := time.Duration(j.ends-s.now-r.Lease.Milliseconds()) * time.Millisecond; off.Abs() < leaseError {
				j.reply("c")
				continue
			}
			rest[j.part] = append(rest[j.part], j)
		case err != nil:
			r.oldUntil.Store(time.Now().Add(oldFor).UnixNano())
			rest[j.part] = append(rest[j.part], j)
		default:
			if _, _, _, claim := parseEntry([]byte(entry)); claim {
				rest[j.part] = append(rest[j.part], j)
				continue
			}
			j.reply("=" + entry)
		}
	}
	return rest, nil
}

// claimByScript claims the ids of one part with one script call.
func (r *Redis) claimByScript(ctx context.Context, part int, epoch string, jobs []*job) error {
	keys := []string{r.entries.parts[part].epoch}
	args := []any{r.Remember.Milliseconds(), r.Lease.Milliseconds(), epoch}
	for _, j := range jobs {
		keys, args = append(keys, j.key), append(args, j.from.values[j.index])
	}
	replies, err := batchScript.Run(ctx, r.client, keys, args...).StringSlice()
	if err != nil {
		return err
	}
	if len(replies) != len(keys) {
		return fmt.Errorf("%d replies for %d keys", len(replies), len(keys))
	}
	for i, j := range jobs {
		j.reply(replies[i+1])
	}
	return nil
}

// oldFor is how long a server that refused "SET … NX GET" is not asked again: it may be upgraded.
const oldFor = time.Minute

func (r *Redis) tooOld() bool { return time.Now().UnixNano() < r.oldUntil.Load() }

// olderServer reports whether err is the refusal of "SET … NX GET" by a Redis before version 7.
func olderServer(err error) bool { return strings.HasPrefix(err.Error(), "ERR syntax error") }
