package dedupe

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/realtest"
)

// clientOf connects to a server with Sentinels or to a cluster.
func clientOf(t *testing.T, server *realtest.RedisServer) redis.UniversalClient {
	t.Helper()
	list, _, _ := strings.Cut(strings.TrimPrefix(server.URL, "redis://"), "/")
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: strings.Split(list, ","), MasterName: server.Master, IsClusterMode: server.Cluster, Protocol: 2,
		ReadTimeout: time.Second, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// remember claims and confirms ids, as ingest does.
func remember(t *testing.T, r *Redis, ids ...string) {
	t.Helper()
	for _, f := range claimAll(t, r, ids) {
		if f.State != Claimed {
			t.Errorf("state %d, want a new claim", f.State)
		}
	}
	for _, id := range ids {
		if err := r.Confirm(t.Context(), Done{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// claimAll claims ids until the store is available.
func claimAll(t *testing.T, r *Redis, ids []string) []found {
	t.Helper()
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		all, err := r.claim(t.Context(), NewOwner(), ids)
		if err == nil {
			return all
		}
		last = err
	}
	t.Fatalf("the store stays away: %v", last)
	return nil
}

func numbered(name string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = name + "-" + strconv.Itoa(i)
	}
	return ids
}

// A primary dies before its last confirmations are replicated. None of them looks new on the new primary: each id that it does not know is in a
// gap, which begins when the replica was last in step. The control shows that the ids look new without the lineage.
func TestAFailoverOpensAGap(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, map[string]string) *realtest.RedisServer{
		"sentinel": realtest.RedisSentinel, "cluster": realtest.RedisCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t, nil)
			client := clientOf(t, server)
			o := Options{Namespace: "i", Lease: time.Minute, Remember: time.Hour, Failover: true, Ring: keyring.New([]string{"key"})}
			r := NewRedis(client, o)
			kept, lost, unseen, more := numbered("kept", 40), numbered("lost", 40), numbered("unseen", 40), numbered("more", 40)
			if err := r.begin(t.Context(), 0, kept[:1]); err != nil { // all parts of a cluster begin with the first id
				t.Fatal(err)
			}
			remember(t, r, kept...)
			for _, f := range claimAll(t, r, more) {
				if f.State != Claimed || !f.lost.Until.IsZero() {
					t.Errorf("a gap before any failover: %+v", f)
				}
			}
			replicated(t, server)
			inStep := time.Now()
			primaries := server.Primaries()
			for _, url := range primaries {
				cutReplication(t, url)
			}
			remember(t, r, lost...)
			remember(t, r, unseen...)
			died := time.Now()
			for _, url := range primaries {
				server.Failover(t, url)
			}

			blind := NewRedis(client, o)
			blind.Failover = false
			forgotten := 0
			for _, f := range claimAll(t, blind, unseen) {
				if f.State == Claimed && f.lost.Until.IsZero() {
					forgotten++
				}
			}
			if forgotten != len(unseen) {
				t.Errorf("the control: %d of %d ids that the failover lost look new without the lineage", forgotten, len(unseen))
			}
			again := NewRedis(client, o) // a program that was started after the failover
			for what, r := range map[string]*Redis{"the same program": r, "a new program": again} {
				ids := lost[:20]
				if r == again {
					ids = lost[20:]
				}
				for i, f := range claimAll(t, r, ids) {
					if f.State != Claimed || f.lost.Since.After(inStep) || f.lost.Until.Before(died) {
						t.Errorf("%s: %s has state %d and the gap %v, want one from %v to %v", what, ids[i], f.State, f.lost, inStep, died)
					}
				}
				for i, f := range claimAll(t, r, kept) {
					if f.State != Confirmed {
						t.Errorf("%s: %s has state %d, want confirmed: it was replicated", what, kept[i], f.State)
					}
				}
			}
			if begin := claimAll(t, r, []string{"fresh"})[0].lost.Since; begin.Before(inStep.Add(-skew - 30*time.Second)) {
				t.Errorf("the gap begins %v before the replicas were last in step", inStep.Sub(begin))
			}
		})
	}
}

// replicated waits until each replica has all entries.
func replicated(t *testing.T, server *realtest.RedisServer) {
	t.Helper()
	for _, url := range server.Primaries() {
		client := realtest.RedisClient(t, url)
		replicas := strings.Count(client.Info(t.Context(), "replication").Val(), "state=online")
		if n, err := client.Wait(t.Context(), replicas, 10*time.Second).Result(); err != nil || int(n) != replicas {
			t.Fatalf("%d of %d replicas are in step: %v", n, replicas, err)
		}
	}
}

// cutReplication disconnects the replicas, and lets no replica connect again.
func cutReplication(t *testing.T, url string) {
	t.Helper()
	client := realtest.RedisClient(t, url)
	for _, command := range []string{"ACL SETUSER default -psync -sync", "CLIENT KILL TYPE replica"} {
		var args []any
		for word := range strings.FieldsSeq(command) {
			args = append(args, word)
		}
		if err := client.Do(context.Background(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// A program that still wrote to the old primary after another one had noticed the failover extends the gap.
func TestALateProgramExtendsTheGap(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.RedisWith(t, nil).URL)
	o := native
	o.Failover = true
	r := NewRedis(client, o)
	if err := r.begin(t.Context(), 0, []string{"any"}); err != nil {
		t.Fatal(err)
	}
	remember(t, r, "first")
	s := claimAll(t, r, []string{"second"})[0]
	if !s.lost.Until.IsZero() {
		t.Errorf("a gap without a failover: %v", s.lost)
	}
	late := time.Now().Add(5 * time.Second).UnixMilli()
	r.seen[0].Store(&sighting{replID: "another", at: late})
	gap := claimAll(t, r, []string{"third"})[0].lost
	if gap.Until.IsZero() || gap.Until.Before(time.Now()) {
		t.Errorf("the gap %v does not cover the time until now", gap)
	}
}

// No one who can write to Redis hides a failover: the lineage depends on the master key.
func TestAForgedLineageIsAGap(t *testing.T) {
	t.Parallel()
	client := realtest.RedisClient(t, realtest.RedisWith(t, nil).URL)
	o := native
	o.Failover, o.Ring = true, keyring.New([]string{"key"})
	for _, forged := range []string{"x", "a@1@0@0", "a@1@0@0@AAAAAAAAAAAAAAAA", "@@@@"} {
		r := NewRedis(client, o)
		if err := r.begin(t.Context(), 0, []string{"any"}); err != nil {
			t.Fatal(err)
		}
		if err := client.Set(t.Context(), r.entries.parts[0].lineage, forged, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if gap := claimAll(t, r, []string{forged})[0].lost; gap.Since.After(time.Unix(1, 0)) || gap.Until.Before(time.Now()) {
			t.Errorf("%q: the gap is %v", forged, gap)
		}
	}
}
