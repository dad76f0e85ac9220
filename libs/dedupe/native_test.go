package dedupe

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/realtest"
)

var native = Options{Namespace: "test", Lease: time.Minute, Remember: time.Hour}

// begun is a store in an own Redis that has an epoch.
func begun(t *testing.T, client redis.UniversalClient) *Redis {
	t.Helper()
	r := NewRedis(client, native)
	if err := r.begin(t.Context(), 0, []string{"any"}); err != nil {
		t.Fatal(err)
	}
	return r
}

func claimOf(t *testing.T, r *Redis, owner, id string) State {
	t.Helper()
	all, err := r.claim(t.Context(), owner, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	return all[0].State
}

// calls returns how often Redis executed a command.
func calls(t *testing.T, client redis.UniversalClient, command string) int {
	t.Helper()
	info, err := client.InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	count, _, _ := strings.Cut(strings.TrimPrefix(info["Commandstats"]["cmdstat_"+command], "calls="), ",")
	n, _ := strconv.Atoi(count)
	return n
}

// An ordinary callback costs no script: SET, GET and TIME to claim it, SET to confirm it. A duplicate costs none either.
func TestAnOrdinaryClaimNeedsNoScript(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.RedisWith(t, nil).URL)
	r := begun(t, client)
	if s := claimOf(t, r, "o", "first"); s != Claimed { // reads the clock
		t.Fatalf("state %d", s)
	}
	before := calls(t, client, "evalsha") + calls(t, client, "eval")
	for i := range 50 {
		id := strconv.Itoa(i)
		if s := claimOf(t, r, "o", id); s != Claimed {
			t.Errorf("%s: state %d", id, s)
		}
		if err := r.Confirm(t.Context(), Done{ID: id}); err != nil {
			t.Fatal(err)
		}
		if s := claimOf(t, r, "p", id); s != Confirmed {
			t.Errorf("%s again: state %d", id, s)
		}
	}
	if n := calls(t, client, "evalsha") + calls(t, client, "eval") - before; n != 0 {
		t.Errorf("%d scripts for 50 callbacks and 50 duplicates", n)
	}
	if s := claimOf(t, r, "p", "first"); s != Held {
		t.Errorf("another's claim: state %d", s)
	}
	if n := calls(t, client, "evalsha") + calls(t, client, "eval") - before; n == 0 {
		t.Error("the control: a conflict needs a script")
	}
}

// olderRedis refuses SET with NX and GET together, as Redis before version 7 does.
type olderRedis struct{}

func (olderRedis) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (olderRedis) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (olderRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		var rest []redis.Cmder
		for _, c := range all {
			if args := c.Args(); c.Name() == "set" && strings.EqualFold(args[len(args)-1].(string), "get") {
				c.SetErr(errors.New("ERR syntax error"))
				continue
			}
			rest = append(rest, c)
		}
		return next(ctx, rest)
	}
}

// On a server older than Redis 7, scripts claim.
func TestAnOlderRedis(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.RedisWith(t, nil).URL)
	client.AddHook(olderRedis{})
	r := begun(t, client)
	for i := range 20 {
		id := strconv.Itoa(i)
		if s := claimOf(t, r, "o", id); s != Claimed {
			t.Errorf("%s: state %d", id, s)
		}
		if s := claimOf(t, r, "p", id); s != Held {
			t.Errorf("%s by another: state %d", id, s)
		}
	}
	if !r.tooOld() {
		t.Error("the control: the server does not count as old")
	}
}

// The end of a lease is a time of the server's clock, also after that clock was set.
func TestALeaseEndsByTheServersClock(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.RedisWith(t, nil).URL)
	r := begun(t, client)
	for id, wrong := range map[string]time.Duration{"right": 0, "fast": time.Hour, "slow": -time.Hour} {
		now, err := client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		r.clocks[0].set(time.Now(), now.Add(wrong).UnixMilli())
		if s := claimOf(t, r, "o", id); s != Claimed {
			t.Errorf("%s: state %d", id, s)
		}
		_, _, ends, ok := parseEntry([]byte(client.Get(t.Context(), "test:"+id).Val()))
		if off := time.UnixMilli(ends).Sub(now) - native.Lease; !ok || off < -time.Second || off > 20*time.Second {
			t.Errorf("%s: the lease ends %v too late", id, off)
		}
	}
}
