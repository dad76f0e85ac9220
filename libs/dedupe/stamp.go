package dedupe

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	_ "embed"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/event"
)

// stamp is the state of one part of the store directly after a claim in it, on the server that executed the claim.
type stamp struct {
	text  string     // the epoch as it is stored, "" for none
	epoch string     // the epoch without its MAC
	ours  bool       // whether epoch belongs to our master key
	now   int64      // the server's clock in ms
	lost  event.Span // entries that were written in it may be lost, because of a failover; zero for none

	lineage lineage // with failovers only
	stored  string  // the lineage as it is stored
	replID  string  // the server's replication id

	get  *redis.StringCmd
	time *redis.TimeCmd
	eval *redis.Cmd
}

var (
	//go:embed stamp.lua
	stampSource string
	stampScript = redis.NewScript(stampSource)

	//go:embed swap.lua
	swapSource string
	swapScript = redis.NewScript(swapSource)
)

// queueStamp adds the commands that read the state of a part. One server needs no script.
func (r *Redis) queueStamp(ctx context.Context, pipe redis.Pipeliner, part int, s *stamp) {
	p := r.entries.parts[part]
	if r.Failover {
		s.eval = stampScript.EvalSha(ctx, pipe, []string{p.epoch, p.lineage})
		return
	}
	s.get, s.time = pipe.Get(ctx, p.epoch), pipe.Time(ctx)
}

// readStamp reads the replies to the commands of queueStamp, which were sent at that time.
func (r *Redis) readStamp(ctx context.Context, part int, s *stamp, sent time.Time) error {
	if s.eval != nil {
		if err := r.readFailoverStamp(ctx, part, s); err != nil {
			return err
		}
	} else {
		if err := s.get.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		now, err := s.time.Result()
		if err != nil {
			return err
		}
		s.text, s.now = s.get.Val(), now.UnixMilli()
	}
	s.epoch, s.ours = r.entries.epoch(s.text)
	r.clocks[part].set(sent, s.now)
	return nil
}

// clock is the last reading of a server's clock.
type clock struct{ read atomic.Pointer[reading] }

type reading struct {
	sent   time.Time // when we asked
	server int64     // the reply in ms
}

func (c *clock) set(sent time.Time, server int64) { c.read.Store(&reading{sent, server}) }

// now returns the server's time in ms. It is ahead by one round trip at most, so no lease is too short.
func (c *clock) now() (int64, bool) {
	last := c.read.Load()
	if last == nil {
		return 0, false
	}
	return last.server + time.Since(last.sent).Milliseconds(), true
}

// lineage is the history of a part's primary, stored in the part itself. It replicates in order with all other entries. So the copy on a
// promoted replica shows until when the replica was in step with the old primary.
type lineage struct {
	replID string // the replication id of the primary that wrote it
	beat   int64  // when it was written, in ms
	// begin and end are the time in which entries may have been lost, in ms; 0 for none.
	begin, end int64
}

func (l lineage) String() string {
	return l.replID + "@" + strconv.FormatInt(l.beat, 10) + "@" + strconv.FormatInt(l.begin, 10) + "@" + strconv.FormatInt(l.end, 10)
}

func parseLineage(text string) (l lineage, ok bool) {
	fields := strings.Split(text, "@")
	if len(fields) != 4 {
		return lineage{}, false
	}
	var errs [3]error
	l.replID = fields[0]
	l.beat, errs[0] = strconv.ParseInt(fields[1], 10, 64)
	l.begin, errs[1] = strconv.ParseInt(fields[2], 10, 64)
	l.end, errs[2] = strconv.ParseInt(fields[3], 10, 64)
	return l, errors.Join(errs[:]...) == nil
}

// lost is the span in which entries may have been lost.
func (l lineage) lost() event.Span {
	if l.end == 0 {
		return event.Span{}
	}
	return event.Span{Since: time.UnixMilli(l.begin).Add(-skew), Until: time.UnixMilli(l.end).Add(skew)}
}

const (
	// beatEvery is how often the lineage is written under load. A gap begins up to this time too early.
	beatEvery = time.Second
	// swapTries bounds the attempts to record a failover while other replicas do the same.
	swapTries = 5
)

// readFailoverStamp reads the reply of stamp.lua. If the server is not the primary that wrote the lineage, it records a gap before the
// claims count.
func (r *Redis) readFailoverStamp(ctx context.Context, part int, s *stamp) error {
	reply := s.eval
	keys := []string{r.entries.parts[part].epoch, r.entries.parts[part].lineage}
	for range swapTries {
		if err := reply.Err(); err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			reply = stampScript.Eval(ctx, r.client, keys)
		}
		fields, err := reply.StringSlice()
		if err != nil {
			return err
		}
		if len(fields) != 4 || fields[2] == "" {
			return errNoReplID
		}
		s.text, s.stored, s.replID = fields[0], fields[1], fields[2]
		if s.now, err = strconv.ParseInt(fields[3], 10, 64); err != nil {
			return err
		}
		next, unchanged := r.nextLineage(part, s)
		if unchanged {
			s.lost = s.lineage.lost()
			return nil
		}
		swapped, err := r.swap(ctx, part, s, next)
		if err != nil {
			return err
		}
		if swapped {
			s.lost = next.lost()
			return nil
		}
		reply = stampScript.Run(ctx, r.client, keys)
	}
	return errUnsteady
}

var errNoReplID = errors.New("INFO replication has no master_replid")

// nextLineage returns the lineage to write, or that the stored one is right.
func (r *Redis) nextLineage(part int, s *stamp) (next lineage, unchanged bool) {
	next = lineage{replID: s.replID, beat: s.now}
	if s.stored == "" {
		return next, false
	}
	was, ok := r.entries.lineage(s.stored)
	s.lineage = was
	switch {
	case !ok: // another master key's, or damaged: nothing is known about the time before
		next.begin, next.end = 1, s.now
		return next, false
	case was.replID != s.replID:
		next.begin, next.end = was.beat, s.now
		if was.end != 0 && time.Duration(s.now-was.end)*time.Millisecond < joinWithin { // one span for both
			next.begin = min(next.begin, was.begin)
		}
		return next, false
	}
	next.begin, next.end = was.begin, was.end
	if seen := r.seen[part].Load(); seen != nil && seen.replID != s.replID && was.end < seen.at {
		// This program still wrote to the old primary after another program had noticed the failover.
		if next.end = s.now; next.begin == 0 {
			next.begin = seen.at
		}
		return next, false
	}
	return next, true
}

// sighting is the primary that this program used last.
type sighting struct {
	replID string
	at     int64 // the last time, in ms by our own clock
}

// swap replaces the lineage that s shows, on the same server only.
func (r *Redis) swap(ctx context.Context, part int, s *stamp, next lineage) (bool, error) {
	n, err := swapScript.Run(ctx, r.client, []string{r.entries.parts[part].lineage}, s.stored, s.replID, r.entries.signLineage(next)).Int()
	return n == 1, err
}

// heartbeat records that the part's primary is alive, at most once in beatEvery for all programs together. An error only makes a later gap
// longer.
func (r *Redis) heartbeat(ctx context.Context, part int, s *stamp) {
	if !r.Failover {
		return
	}
	r.seen[part].Store(&sighting{replID: s.replID, at: time.Now().UnixMilli()})
	if was := s.lineage; was.replID == s.replID && s.now-was.beat >= beatEvery.Milliseconds() {
		was.beat = s.now
		_, _ = r.swap(ctx, part, s, was)
	}
}
