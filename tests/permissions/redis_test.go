package permissions_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/tests/testenv"
)

func TestRedisFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	for name, want := range flow.RedisFiles() {
		is, err := os.ReadFile(filepath.Join(testenv.Root(), "deployments", "redis", name))
		if err != nil || string(is) != want {
			t.Errorf("deployments/redis/%s is stale: run `make generate` (%v)", name, err)
		}
	}
}

// The manual and docker-compose.yml put the passwords into users.conf with a shell. The manual also sends the result to a running Redis.
func TestShellFillsInThePasswords(t *testing.T) {
	t.Parallel()
	const fill = "eval \"echo \\\"$(grep ^user "
	for _, file := range []string{"docs/operate.md", "docker-compose.yml"} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(), file))
		if err != nil || !strings.Contains(strings.ReplaceAll(string(text), "$$", "$"), fill) {
			t.Errorf("%s does not fill in users.conf as this test does: %v", file, err)
		}
	}
	if os.Getenv("SIGNRELAY_TEST_REDIS_URL") != "" {
		t.Skip("the Redis of SIGNRELAY_TEST_REDIS_URL has users of its own")
	}
	server := realtest.RedisWith(t, nil)
	_, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(server.URL, "redis://"), "/0"), ":")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fill+"deployments/redis/users.conf)\\\"\" | sed 's/^user /acl setuser /' | redis-cli -p "+port)
	cmd.Dir = testenv.Root()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, u := range flow.RedisUsers() {
		cmd.Env = append(cmd.Env, flow.RedisPassword(u.Name)+"="+testenv.PasswordOf(u.Name))
	}
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "OK") != len(flow.RedisUsers()) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, u := range flow.RedisUsers() {
		if err := limit.NewRedis(redisAs(t, server, u.Name), keyring.Ring{}).Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", u.Name, err)
		}
	}
}

// redisAs is a connection of this user; "default" is the administrator.
func redisAs(t *testing.T, server *realtest.RedisServer, user string) redis.UniversalClient {
	t.Helper()
	cfg := config.Redis{URL: server.URL}
	if user != "default" {
		cfg.Username, cfg.Password = user, testenv.PasswordOf(user)
	}
	client, err := service.ConnectRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// keysOfAll are keys of each user, with their names with and without a master key. A service of a later release has the keys that the map
// gives only to it.
func keysOfAll() map[string][]string {
	all := map[string][]string{
		"ingest":         {"i:0123456789abcdefghijklmnop", "i:AbC-_0123456", "i:probe"},
		flow.SMSSender:   {"sms-sender:0123456789abcdefghijklmnop", "sms-sender:AbC-_0123456", "signrelay:limit:{vonage/0123456789abcdef}:next", "signrelay:limit:{vonage/x}:paused"},
		flow.EmailSender: {"email-sender:0123456789abcdefghijklmnop", "email-sender:AbC-_0123456"},
		flow.Enricher:    {"signrelay:limit:{api/clickwrap/demo}:next", "signrelay:limit:{api/AbC-_0123456789A}:paused"},
		flow.Shortener:   {"signrelay:limit:{api-click/clickwrap/demo}:next", "signrelay:limit:{api-click/AbC-_0123456789A}:paused", "signrelay:limit:{link/x}:next", "signrelay:limit:{shortener/bitly}:paused"},
		"unknown":        {"other", "signrelay:other", "signrelay:limit:{other/x}:next", "signrelay:epoch2", "I:0123", "xi:0123", "signrelay:limit:api/x"},
	}
	for _, u := range flow.RedisUsers() {
		if all[u.Name] != nil || u.Name == flow.Operator {
			continue
		}
		var own []string
		for _, pattern := range u.Keys {
			if sharedByUsers(pattern) < 2 {
				own = append(own, strings.ReplaceAll(pattern, "*", "x"))
			}
			matches := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
			for _, keys := range all { // such as a rate limit that it shares with another service
				own = append(own, slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !matches.MatchString(k) })...)
			}
		}
		all[u.Name] = own
	}
	return all
}

// sharedByUsers is the number of services that may use the keys of this pattern.
func sharedByUsers(pattern string) (n int) {
	for _, u := range flow.RedisUsers() {
		if u.Name != flow.Operator && slices.Contains(u.Keys, pattern) {
			n++
		}
	}
	return n
}

// refusedRedis are commands that no service may use, on any key.
var refusedRedis = []string{
	"SCAN 0", "SCAN 0 MATCH i:*", "KEYS *", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1",
	"CONFIG GET *", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "CONFIG RESETSTAT", "DEBUG SLEEP 0", "DEBUG OBJECT own",
	"SCRIPT LOAD x", "SCRIPT FLUSH", "SCRIPT KILL", "SCRIPT EXISTS x", "FUNCTION LIST", "FUNCTION FLUSH", "FUNCTION DUMP", "FCALL f 0",
	"SUBSCRIBE a", "PSUBSCRIBE *", "SSUBSCRIBE a", "PUBLISH a b", "PUBSUB CHANNELS", "MONITOR",
	"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "SYNC", "PSYNC ? -1", "FAILOVER", "ROLE", "WAIT 0 0",
	"ACL LIST", "ACL USERS", "ACL GETUSER default", "ACL SETUSER thief on nopass ~* +@all", "ACL DELUSER ingest", "ACL LOG", "ACL SAVE", "ACL LOAD",
	"CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 0", "CLIENT NO-EVICT on", "CLIENT TRACKING on", "CLIENT UNBLOCK 1", "CLIENT INFO",
	"SAVE", "BGSAVE", "BGREWRITEAOF", "LASTSAVE", "SHUTDOWN NOSAVE", "MODULE LIST", "MODULE LOAD x", "CLUSTER INFO", "MIGRATE 127.0.0.1 1 own 0 1",
	"SLOWLOG GET", "LATENCY DOCTOR", "MEMORY USAGE own", "MEMORY DOCTOR", "COMMAND LIST", "LOLWUT",
	"DUMP own", "RESTORE own 0 x", "RENAME own other", "COPY own other", "MOVE own 1", "OBJECT FREQ own", "OBJECT ENCODING own", "TYPE own", "EXISTS own", "TTL own",
	"EXPIRE own 1", "PERSIST own", "UNLINK own", "MSET own a", "MGET own", "SETEX own 1 a", "GETDEL own", "GETSET own a", "GETEX own", "APPEND own a", "INCR own", "STRLEN own",
	"HSET own a b", "LPUSH own a", "SADD own a", "ZADD own 1 a", "XADD own * a b", "BLPOP own 1", "SORT own", "MULTI", "WATCH own",
	`EVAL return(redis.call('KEYS','*')) 0`, `EVAL return(redis.call('SCAN',0)) 0`, `EVAL return(redis.call('FLUSHALL')) 0`, `EVAL return(redis.call('CONFIG','GET','*')) 0`,
	`EVAL return(redis.call('PUBLISH','a','b')) 0`, `EVAL return(redis.call('ACL','LIST')) 0`, `EVAL return(redis.call('RENAME','own','x')) 1 own`, `EVAL_RO return(1) 0`,
}

// A stolen password of a Redis user allows that service's own work only: it lists no keys, receives nothing, and reaches no key of another
// service, by command or by script. Each service works meanwhile.
func TestStolenRedisUserReachesOnlyItsKeys(t *testing.T) {
	t.Parallel()
	server, guarded := realtest.RedisWithUsers(t, testenv.RedisUsers())
	if !guarded {
		t.Skip("the Redis of SIGNRELAY_TEST_REDIS_URL has users of its own")
	}
	admin := redisAs(t, server, "default")
	all := keysOfAll()
	content := map[string]string{}
	for _, keys := range all {
		for _, k := range keys {
			content[k] = "1"
			if err := admin.Set(t.Context(), k, "1", time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, u := range flow.RedisUsers() {
		if u.Name == flow.Operator {
			continue
		}
		client := redisAs(t, server, u.Name)
		own := all[u.Name][0]
		refuses := func(args ...any) {
			t.Helper()
			err := client.Do(t.Context(), args...).Err()
			if err == nil || !slices.ContainsFunc(refusalsOfRedis, func(text string) bool { return strings.Contains(err.Error(), text) }) {
				t.Errorf("%s: %v gets %v", u.Name, args, err)
			}
		}
		for _, command := range refusedRedis {
			var args []any
			for _, word := range strings.Fields(command) {
				if word == "own" {
					word = own
				}
				args = append(args, word)
			}
			refuses(args...)
		}
		for owner, keys := range all {
			for _, k := range keys {
				if owner == u.Name || slices.Contains(all[u.Name], k) {
					if err := client.Get(t.Context(), k).Err(); err != nil { // the control
						t.Errorf("%s on its own key %s: %v", u.Name, k, err)
					}
					continue
				}
				refuses("GET", k)
				refuses("SET", k, "1")
				refuses("SET", k, "1", "NX", "PX", 1000)
				refuses("DEL", k)
				refuses("DEL", own+"-none", k)
				for _, call := range []string{"'GET',KEYS[1]", "'SET',KEYS[1],'1'", "'DEL',KEYS[1]"} {
					refuses("EVAL", "return redis.call("+call+")", 1, k)
					refuses("EVAL", "return redis.call("+strings.ReplaceAll(call, "KEYS[1]", "ARGV[1]")+")", 0, k) // an undeclared key
				}
			}
		}
		refuses("INFO")
	}
	found, err := admin.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(found); !slices.Equal(found, slices.Sorted(maps.Keys(content))) {
		t.Errorf("the keys are %v", found)
	}

	// The services work beside the attackers.
	for _, u := range flow.RedisUsers() {
		client := redisAs(t, server, u.Name)
		probes := service.NewRedisProbes(client)
		probes.Add(limit.NewRedis(client, keyring.Ring{}).Probe)
		for _, namespace := range flow.NamespacesOf(u.Name) {
			probes.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: namespace}).Probe)
		}
		if err := probes.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", u.Name, err)
		}
	}
}

// refusalsOfRedis are the texts with which Redis refuses a command, and a script in several versions.
var refusalsOfRedis = []string{"NOPERM", "ACL failure in script", "executing the script can't", "not allowed from script", "command not allowed", "unknown command", "unknown subcommand"}

// redisRefusals are the refusals that Redis has logged since its start.
func redisRefusals(t *testing.T, server *realtest.RedisServer) []string {
	t.Helper()
	entries, err := redisAs(t, server, "default").ACLLog(context.WithoutCancel(t.Context()), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Username+": "+e.Reason+" "+e.Object)
	}
	return all
}

// With Sentinel and in a cluster, each user may do all that its service does, also after a failover. Without one of the commands that only
// these modes need, the service is not ready.
func TestRedisUsersWithFailover(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, map[string]string) *realtest.RedisServer{
		"sentinel": realtest.RedisSentinel, "cluster": realtest.RedisCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := realtest.RedisFailover(t, testenv.RedisUsers(), start)
			check := func(u flow.RedisUser) error {
				cfg := config.Redis{URL: server.URL, Username: u.Name, Password: testenv.PasswordOf(u.Name), Cluster: server.Cluster}
				cfg.Sentinel.Master = server.Master
				client, err := service.ConnectRedis(cfg)
				if err != nil {
					return err
				}
				defer func() { _ = client.Close() }()
				probes := service.NewRedisProbes(client)
				probes.Add(limit.NewRedis(client, keyring.Ring{}).Probe)
				for _, namespace := range flow.NamespacesOf(u.Name) {
					probes.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: namespace, Failover: true}).Probe)
				}
				return probes.Check(t.Context())
			}
			for _, u := range flow.RedisUsers() {
				if err := check(u); err != nil {
					t.Errorf("%s: %v", u.Name, err)
				}
				without := map[string]bool{"-info": flow.ClaimsOf(u.Name) != "", "-cluster": server.Cluster}
				for command, needed := range without {
					everywhere(t, server, "ACL SETUSER "+u.Name+" "+command)
					if err := check(u); (err != nil) != needed {
						t.Errorf("%s with %s: %v, want an error: %v", u.Name, command, err, needed)
					}
					everywhere(t, server, "ACL SETUSER "+u.Name+" "+u.Rules())
				}
			}
			for _, url := range append(server.Primaries(), server.Replicas()...) {
				for _, e := range realtest.RedisClient(t, url).ACLLog(t.Context(), 100).Val() {
					// The cluster's client asks for COMMAND and works without it. The others are the commands that this test removed.
					if !slices.Contains([]string{"command", "info", "info|replication", "cluster|slots"}, e.Object) {
						t.Errorf("Redis refused %s of %s", e.Object, e.Username)
					}
				}
			}
		})
	}
}

// everywhere sends a command to each server.
func everywhere(t *testing.T, server *realtest.RedisServer, command string) {
	t.Helper()
	for _, url := range append(server.Primaries(), server.Replicas()...) {
		var args []any
		for _, word := range strings.Fields(command) {
			args = append(args, word)
		}
		if err := realtest.RedisClient(t, url).Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}
