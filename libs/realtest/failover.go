package realtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// downAfter is how long a primary is silent before another takes its place. It is short, so that a test is fast.
const downAfter = time.Second

const master = "signrelay"

// RedisFailover starts a Redis of several servers with start. Each server has these users, as lines of redis.conf.
func RedisFailover(t testing.TB, users string, start func(testing.TB, map[string]string) *RedisServer) *RedisServer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, map[string]string{"include": file})
}

// RedisSentinel starts a primary, two replicas and three Sentinels. The settings are those of the servers with data.
func RedisSentinel(t testing.TB, settings map[string]string) *RedisServer {
	t.Helper()
	program := ownRedis(t)
	r := &RedisServer{Master: master}
	for i := range 3 {
		all := map[string]string{}
		maps.Copy(all, settings)
		if i > 0 {
			all["replicaof"] = "127.0.0.1 " + r.group[0].port
		}
		r.group = append(r.group, runProcess(t, program, all, ""))
	}
	r.await(t, "the replicas are in step", func(ctx context.Context) bool {
		client := plainClient(&redis.Options{Addr: r.group[0].addr()})
		defer func() { _ = client.Close() }()
		info, _ := client.Info(ctx, "replication").Result()
		return strings.Count(info, "state=online") == 2
	})
	var addresses []string
	for range 3 {
		file := filepath.Join(t.TempDir(), "sentinel.conf")
		port := freePort(t)
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %q\nlogfile \"\"\nloglevel warning\nsentinel monitor %[3]s 127.0.0.1 %[4]s 2\n"+
			"sentinel down-after-milliseconds %[3]s %[5]d\nsentinel failover-timeout %[3]s 3000\n", port, filepath.Dir(file), master, r.group[0].port, downAfter.Milliseconds())
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &redisProcess{t: t, program: program, dir: filepath.Dir(file), sentinel: file, port: port}
		p.start()
		t.Cleanup(p.stop)
		addresses = append(addresses, p.addr())
	}
	r.URL = "redis://" + strings.Join(addresses, ",") + "/0"
	r.await(t, "the Sentinels know each other and the replicas", func(ctx context.Context) bool {
		for _, a := range addresses {
			sentinel := redis.NewSentinelClient(&redis.Options{Addr: a, MaxRetries: -1})
			state, err := sentinel.Master(ctx, master).Result()
			_ = sentinel.Close()
			if err != nil || state["num-other-sentinels"] != "2" || state["num-slaves"] != "2" {
				return false
			}
		}
		return true
	})
	return r
}

// RedisCluster starts a cluster of three primaries with a replica each.
func RedisCluster(t testing.TB, settings map[string]string) *RedisServer {
	t.Helper()
	program := ownRedis(t)
	r := &RedisServer{Cluster: true}
	clients := make([]*redis.Client, 6)
	ids := make([]string, 6)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	do := func(i int, command ...any) string {
		t.Helper()
		reply, err := clients[i].Do(ctx, command...).Text()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		return reply
	}
	var addresses []string
	for i := range 6 {
		all := map[string]string{"cluster-enabled": "yes", "cluster-node-timeout": strconv.FormatInt(downAfter.Milliseconds(), 10), "cluster-port": freePort(t)}
		maps.Copy(all, settings)
		p := runProcess(t, program, all, "cluster-port")
		r.group, addresses = append(r.group, p), append(addresses, p.addr())
		clients[i] = plainClient(&redis.Options{Addr: p.addr()})
		defer func() { _ = clients[i].Close() }()
		do(i, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		ids[i] = do(i, "CLUSTER", "MYID")
		if i < 3 {
			do(i, "CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		}
		if i > 0 {
			do(i, "CLUSTER", "MEET", "127.0.0.1", r.group[0].port, r.group[0].settings["cluster-port"])
		}
	}
	r.await(t, "the nodes know each other", func(ctx context.Context) bool {
		for _, c := range clients {
			if info, _ := c.ClusterInfo(ctx).Result(); !strings.Contains(info, "cluster_known_nodes:6") || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	for i := range 3 {
		do(i+3, "CLUSTER", "REPLICATE", ids[i])
	}
	r.await(t, "each primary has a replica", func(ctx context.Context) bool {
		for _, c := range clients[:3] {
			if info, _ := c.Info(ctx, "replication").Result(); !strings.Contains(info, "state=online") {
				return false
			}
		}
		nodes, _ := clients[5].ClusterNodes(ctx).Result()
		return strings.Count(nodes, " slave ")+strings.Count(nodes, "myself,slave ") >= 3
	})
	r.URL = "redis://" + strings.Join(addresses, ",")
	return r
}

// ownRedis returns the program of redis-server.
func ownRedis(t testing.TB) string {
	t.Helper()
	Server(t, "a Redis")
	program, err := exec.LookPath("redis-server")
	if err != nil {
		Missing(t, "redis-server is not in PATH, and only ones of our own fail over: install the Debian package redis-server")
	}
	quiet()
	return program
}

// runProcess starts a server. The setting named other is another port of it.
func runProcess(t testing.TB, program string, settings map[string]string, other string) *redisProcess {
	t.Helper()
	p := &redisProcess{t: t, program: program, dir: t.TempDir(), settings: settings}
	var err error
	for range 10 { // another process may take a free port first
		p.port = freePort(t)
		if other != "" {
			settings[other] = freePort(t)
		}
		if err = p.run(); err == nil {
			t.Cleanup(func() { p.stop() })
			return p
		}
	}
	t.Fatal(err)
	return nil
}

// Primaries returns the URLs of the servers that are primaries now: one with Sentinel, three of a cluster.
func (r *RedisServer) Primaries() (urls []string) {
	for _, p := range r.group {
		if p.role() == "master" {
			urls = append(urls, "redis://"+p.addr()+"/0")
		}
	}
	return urls
}

// Replicas returns the URLs of the servers that are replicas now.
func (r *RedisServer) Replicas() (urls []string) {
	for _, p := range r.group {
		if p.role() == "slave" {
			urls = append(urls, "redis://"+p.addr()+"/0")
		}
	}
	return urls
}

// role is the server's role, "" if it does not respond.
func (p *redisProcess) role() string {
	client := plainClient(&redis.Options{Addr: p.addr()})
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	info, err := client.InfoMap(ctx, "replication").Result()
	if err != nil {
		return ""
	}
	return info["Replication"]["role"]
}

// Failover kills the primary at that URL, and returns when another server is primary. The killed one then starts again, as a replica.
func (r *RedisServer) Failover(t testing.TB, url string) {
	t.Helper()
	before := len(r.Primaries())
	for _, p := range r.group {
		if "redis://"+p.addr()+"/0" != url {
			continue
		}
		p.kill()
		r.await(t, "another server is primary", func(context.Context) bool { return len(r.Primaries()) == before })
		p.start()
		r.await(t, "the killed server is a replica", func(context.Context) bool { return p.role() == "slave" })
		return
	}
	t.Fatalf("no server at %s", url)
}

func (r *RedisServer) await(t testing.TB, what string, holds func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute without success until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
