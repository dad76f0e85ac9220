package service

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// redisProbes is what a service with claims in that namespace asks of Redis; an empty one claims nothing.
func redisProbes(client *redis.Client, namespaces ...string) *RedisProbes {
	p := new(RedisProbes)
	p.Add(limit.NewRedis(client, keyring.Ring{}).Probe)
	for _, n := range namespaces {
		p.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: n}).Probe)
	}
	return p
}

func redisAt(t *testing.T, cfg config.Redis) *redis.Client {
	t.Helper()
	client, err := ConnectRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func do(t *testing.T, client *redis.Client, command string) {
	t.Helper()
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// Each of these Redis servers answers PING but accepts no claim. The test then undoes the change, and the server is healthy.
func TestARedisThatTakesNoClaims(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]string
		spoil    []string // commands
		mend     []string
		want     string
	}{
		"a replica whose primary is away": {
			spoil: []string{"REPLICAOF 127.0.0.1 1"}, mend: []string{"REPLICAOF NO ONE"},
			want: "redis.url leads to a replica, which takes no claims: let it lead to the primary",
		},
		"a replica that serves nothing": {
			spoil: []string{"CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"}, mend: []string{"REPLICAOF NO ONE"},
			want: "redis.url leads to a replica whose primary is away",
		},
		"a full one": {
			spoil: []string{"CONFIG SET maxmemory 1"}, mend: []string{"CONFIG SET maxmemory 0"},
			want: "Redis is full (maxmemory), so it takes no claims: give it more memory",
		},
		"one that lacks replicas": {
			spoil: []string{"CONFIG SET min-replicas-to-write 1"}, mend: []string{"CONFIG SET min-replicas-to-write 0"},
			want: "fewer replicas than min-replicas-to-write",
		},
		"a cluster": {
			settings: map[string]string{"cluster-enabled": "yes"}, spoil: []string{"CLUSTER ADDSLOTSRANGE 0 16383"},
			want: "redis.url leads to a Redis Cluster",
		},
		"a cluster that is not complete": {
			settings: map[string]string{"cluster-enabled": "yes"},
			want:     "redis.url leads to a Redis Cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := realtest.RedisWith(t, c.settings)
			client := redisAt(t, config.Redis{URL: server.URL})
			check := redisProbes(client, "i").Check
			if c.mend != nil {
				if err := check(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
			}
			for _, command := range c.spoil {
				do(t, client, command)
			}
			if err := client.Ping(t.Context()).Err(); err != nil && !strings.Contains(err.Error(), "MASTERDOWN") {
				t.Errorf("PING would do: %v", err)
			}
			until(t, "it is noticed", func() bool {
				err := check(t.Context())
				return err != nil && strings.Contains(err.Error(), c.want)
			})
			for _, command := range c.mend {
				do(t, client, command)
			}
			if c.mend != nil {
				until(t, "it is well again", func() bool { return check(t.Context()) == nil })
			}
		})
	}
}

// The manual's list of permissions for a service's Redis user is sufficient, and all of it is necessary. If one command or key
// is missing, the service is not ready and reports the missing permission.
func TestARedisUserOfTheManual(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ACL SETUSER (\S+) on >… (.*)$`).FindAllStringSubmatch(string(manual), -1)
	if len(lines) != 5 {
		t.Fatalf("the manual has %d users", len(lines))
	}
	server := realtest.RedisWith(t, nil)
	admin := redisAt(t, config.Redis{URL: server.URL})
	for _, line := range lines {
		service, rules := line[1], strings.Fields(line[2])
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			var namespaces []string
			if n := flow.MemoryOf(service); n != "" {
				namespaces = append(namespaces, n)
			}
			as := func(user string, rules []string) error {
				do(t, admin, "ACL SETUSER "+user+" on >hunter2 "+strings.Join(rules, " "))
				url := strings.Replace(strings.TrimSuffix(server.URL, "/0"), "//", "//"+user+":hunter2@", 1) + "/1"
				client := redisAt(t, config.Redis{URL: url})
				// Scripts that are known need no EVAL, until Redis forgets them.
				do(t, admin, "SCRIPT FLUSH")
				return redisProbes(client, namespaces...).Check(t.Context())
			}
			if err := as(service, rules); err != nil {
				t.Fatalf("%s: %v", line[0], err)
			}
			for i, rule := range rules {
				if !strings.ContainsAny(rule[:1], "+~") {
					continue
				}
				if rule == "+del" && namespaces == nil {
					continue // the same for all, because it is simpler
				}
				without := append(append([]string{}, rules[:i]...), rules[i+1:]...)
				if err := as(fmt.Sprintf("%s-%d", service, i), without); err == nil || !strings.Contains(err.Error(), "lacks a command or a key") {
					t.Errorf("without %s: %v", rule, err)
				}
			}
		})
	}
}

// In a whole host, a service that needs claims is not ready. A service that works without claims is ready, and reports the fault.
func TestAHostJudgesRedisByItsClaims(t *testing.T) {
	t.Parallel()
	for name, outlives := range map[string]bool{"sms-sender": false, "ingest": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, server := provisioned(t), realtest.RedisWith(t, nil)
			cfg := settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, server.URL })
			h := open(t, cfg, Service{Name: name, OutlivesRedis: outlives, Run: func(ctx context.Context, env Env) error {
				env.Claims(dedupe.Options{Namespace: flow.MemoryOf(name), Lease: time.Minute, Remember: time.Hour})
				env.Up()
				<-ctx.Done()
				return nil
			}})
			h.opened()
			h.readyWithin(patience, 200, func(a answer) bool { return a.Checks["redis"].OK })
			do(t, redisAt(t, cfg.Redis), "REPLICAOF 127.0.0.1 1")
			code := 503
			if outlives {
				code = 200
			}
			h.readyWithin(patience, code, func(a answer) bool {
				return !a.Checks["redis"].OK && strings.Contains(a.Checks["redis"].Error, "let it lead to the primary") && a.Checks["redis"].Degrades == outlives
			})
		})
	}
}
