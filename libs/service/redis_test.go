package service

import (
	"context"
	"fmt"
	"slices"
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

// redisProbes returns the Redis probes of a service with claims in these namespaces; a service without namespaces claims nothing.
func redisProbes(client redis.UniversalClient, namespaces ...string) *RedisProbes {
	p := NewRedisProbes(client)
	p.Add(limit.NewRedis(client, keyring.Ring{}).Probe)
	for _, n := range namespaces {
		p.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: n}).Probe)
	}
	return p
}

func redisAt(t *testing.T, cfg config.Redis) redis.UniversalClient {
	t.Helper()
	client, err := ConnectRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func do(t *testing.T, client redis.UniversalClient, command string) {
	t.Helper()
	var args []any
	for arg := range strings.FieldsSeq(command) {
		args = append(args, arg)
	}
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// Each of these Redis servers responds to PING but accepts no claim. The test then undoes the change, and the server is healthy.
func TestARedisThatAcceptsNoClaimsFailsTheCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]string
		damage   []string // commands
		repair   []string
		want     string
	}{
		"a replica with stale data": {
			damage: []string{"REPLICAOF 127.0.0.1 1"}, repair: []string{"REPLICAOF NO ONE"},
			want: "redis.url leads to a replica, which accepts no claims: let it lead to the primary",
		},
		"a replica that serves nothing": {
			damage: []string{"CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"}, repair: []string{"REPLICAOF NO ONE"},
			want: "redis.url leads to a replica whose primary is unavailable",
		},
		"a full Redis": {
			damage: []string{"CONFIG SET maxmemory 1"}, repair: []string{"CONFIG SET maxmemory 0"},
			want: "Redis is full (maxmemory), so it accepts no claims: give it more memory",
		},
		"a primary that lacks replicas": {
			damage: []string{"CONFIG SET min-replicas-to-write 1"}, repair: []string{"CONFIG SET min-replicas-to-write 0"},
			want: "fewer replicas than min-replicas-to-write",
		},
		"a cluster": {
			settings: map[string]string{"cluster-enabled": "yes"}, damage: []string{"CLUSTER ADDSLOTSRANGE 0 16383"},
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
			if c.repair != nil {
				if err := check(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
			}
			for _, command := range c.damage {
				do(t, client, command)
			}
			if err := client.Ping(t.Context()).Err(); err != nil && !strings.Contains(err.Error(), "MASTERDOWN") {
				t.Errorf("PING fails, so the case proves nothing about claims: %v", err)
			}
			until(t, "the check fails", func() bool {
				err := check(t.Context())
				return err != nil && strings.Contains(err.Error(), c.want)
			})
			for _, command := range c.repair {
				do(t, client, command)
			}
			if c.repair != nil {
				until(t, "the check passes again", func() bool { return check(t.Context()) == nil })
			}
		})
	}
}

// A service's user in deployments/redis/users.conf may do everything that the service's probes do, and has no other permission. If one
// command or key is missing, the service is not ready, and the error names the commands or keys.
func TestARedisUserNeedsAllItsPermissions(t *testing.T) {
	t.Parallel()
	for _, u := range flow.RedisUsers() {
		t.Run(u.Name, func(t *testing.T) {
			t.Parallel()
			// Each test has its own server: one test's EVAL would load the script that another test has just flushed.
			server := realtest.RedisWith(t, nil)
			admin := redisAt(t, config.Redis{URL: server.URL})
			service, namespaces := u.Name, flow.NamespacesOf(u.Name)
			as := func(name string, u flow.RedisUser) error {
				do(t, admin, "ACL SETUSER "+name+" on >hunter2 "+u.Rules())
				url := strings.Replace(strings.TrimSuffix(server.URL, "/0"), "//", "//"+name+":hunter2@", 1) + "/1"
				client := redisAt(t, config.Redis{URL: url})
				// Without the flush, loaded scripts would need no EVAL.
				do(t, admin, "SCRIPT FLUSH")
				probes := redisProbes(client, namespaces...)
				for _, space := range flow.ForgottenBy(service) {
					probes.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: space}).ProbeForget)
				}
				return probes.Check(t.Context())
			}
			if err := as(u.Name, u); err != nil {
				t.Fatalf("%s: %v", u.Rules(), err)
			}
			refused := func(missing string, less flow.RedisUser, named ...string) {
				err := as(fmt.Sprintf("%s-without-%d", u.Name, len(missing)*100+int(missing[0])), less)
				if err == nil || !strings.Contains(err.Error(), "lacks a command or a key") {
					t.Errorf("without %s: %v", missing, err)
				}
				for _, n := range named {
					if err != nil && !strings.Contains(err.Error(), n) {
						t.Errorf("without %s: the error does not name %s: %v", missing, n, err)
					}
				}
			}
			for i, command := range u.Commands {
				if u.Name == flow.Operator && (command == "info" || command == "del") { // doctor's test
					continue
				}
				if slices.Contains([]string{"cluster|slots", "asking", "info|replication"}, command) { // TestRedisUsersWithFailover in tests/permissions
					continue
				}
				less := u
				less.Commands = slices.Delete(slices.Clone(u.Commands), i, i+1)
				name, _, _ := strings.Cut(command, "|")
				refused(command, less, name)
			}
			for i, key := range u.Keys {
				if strings.Contains(key, "/") || strings.HasSuffix(key, ":count") || key == "signrelay:epoch:*" || u.Name == flow.Operator { // other keys of limits; TestEachServiceAsItself, and doctor's test
					continue
				}
				less := u
				less.Keys = slices.Delete(slices.Clone(u.Keys), i, i+1)
				refused(key, less, strings.TrimSuffix(key, "*"))
			}
		})
	}
}

// In a whole host, a service that needs claims is not ready. A service that works without claims is ready, and reports the fault.
func TestReadinessDependsOnClaimsInRedis(t *testing.T) {
	t.Parallel()
	for name, outlives := range map[string]bool{"sms-sender": false, "ingest": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, server := provisioned(t), realtest.RedisWith(t, nil)
			cfg := settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, server.URL })
			h := open(t, cfg, Service{Name: name, Calls: both, WorksWithoutRedis: outlives, Run: func(ctx context.Context, env Env) error {
				env.Claims(dedupe.Options{Namespace: flow.ClaimsOf(name), Lease: time.Minute, Remember: time.Hour})
				env.Up()
				<-ctx.Done()
				return nil
			}})
			h.opened()
			h.readyWithin(waitLimit, 200, func(a readyz) bool { return a.Checks["redis"].OK })
			do(t, redisAt(t, cfg.Redis), "REPLICAOF 127.0.0.1 1")
			code := 503
			if outlives {
				code = 200
			}
			h.readyWithin(waitLimit, code, func(a readyz) bool {
				return !a.Checks["redis"].OK && strings.Contains(a.Checks["redis"].Error, "let it lead to the primary") && a.Checks["redis"].Degrades == outlives
			})
		})
	}
}
