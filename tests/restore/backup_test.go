package restore

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// backup is a copy of NATS and Redis.
type backup struct {
	dir   string
	user  string // the password of NATS; empty if it requires none
	nats  string // the nats command line
	redis string // the folder of Redis's files
}

// newBackup finds the tools that the manual uses. Without them the test is skipped; in CI it fails.
func newBackup(t *testing.T, h *testenv.Env) *backup {
	t.Helper()
	if os.Getenv("SIGNRELAY_TEST_REDIS_URL") != "" {
		realtest.Missing(t, "the test needs its own Redis, not SIGNRELAY_TEST_REDIS_URL")
	}
	for _, tool := range []string{"redis-cli", "redis-server"} {
		if _, err := exec.LookPath(tool); err != nil {
			realtest.Missing(t, "the test needs %s", tool)
		}
	}
	client := realtest.RedisClient(t, h.Redis.URL)
	dir, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	return &backup{dir: t.TempDir(), nats: testenv.NATSCLI(t), redis: dir["dir"]}
}

// take copies NATS and then Redis while everything runs.
func (b *backup) take(t *testing.T, h *testenv.Env) {
	t.Helper()
	b.command(t, h, "backup", "account", "--force", filepath.Join(b.dir, "nats"))
	run(t, "redis-cli", "-u", h.Redis.URL, "--rdb", filepath.Join(b.dir, "redis.rdb"))
}

// restoreNATS restores the copy into an empty server.
func (b *backup) restoreNATS(t *testing.T, h *testenv.Env) {
	t.Helper()
	h.Processes["nats"].Kill()
	if err := os.RemoveAll(filepath.Join(h.DataDir, "nats")); err != nil {
		t.Fatal(err)
	}
	h.Processes["nats"].Start()
	b.command(t, h, "backup", "restore", "account", filepath.Join(b.dir, "nats"))
}

func (b *backup) command(t *testing.T, h *testenv.Env, args ...string) {
	t.Helper()
	args = append([]string{"--server", h.NATSURL}, args...)
	if b.user != "" {
		args = append([]string{"--user", b.user, "--password", testenv.PasswordOf(b.user)}, args...)
	}
	run(t, b.nats, args...)
}

// restoreRedis restores the copy into an empty server. A server with an append-only file does not read a dump, so one without it reads the
// dump and creates the file.
func (b *backup) restoreRedis(t *testing.T, h *testenv.Env) {
	t.Helper()
	h.Redis.Kill()
	if err := os.RemoveAll(filepath.Join(b.redis, "appendonlydir")); err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(filepath.Join(b.dir, "redis.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.redis, "dump.rdb"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	client := realtest.RedisClient(t, h.Redis.URL)
	_, port, _ := strings.Cut(client.Options().Addr, ":")
	server := exec.CommandContext(t.Context(), "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", b.redis, "--appendonly", "no", "--loglevel", "warning")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	h.Until(t, "Redis has read the dump", func() bool { return client.Ping(t.Context()).Err() == nil })
	run(t, "redis-cli", "-u", h.Redis.URL, "config", "set", "appendonly", "yes")
	h.Until(t, "Redis has made its append-only file", func() bool {
		info, err := client.InfoMap(t.Context(), "persistence").Result()
		return err == nil && info["Persistence"]["aof_rewrite_in_progress"] == "0" && info["Persistence"]["aof_rewrite_scheduled"] == "0"
	})
	_ = client.Shutdown(t.Context()).Err() // which breaks the connection
	_ = server.Wait()
	h.Redis.Start()
}

// forgetTheEpoch makes the services look up the log.
func forgetTheEpoch(t *testing.T, h *testenv.Env) {
	t.Helper()
	run(t, "redis-cli", "-u", h.Redis.URL, "del", "signrelay:epoch")
}

// forgetCallbacks makes ingest accept callbacks that providers send again.
func forgetCallbacks(t *testing.T, h *testenv.Env) {
	t.Helper()
	run(t, "sh", "-c", "redis-cli -u "+h.Redis.URL+" --scan --pattern 'i:*' | xargs -r -n 1000 redis-cli -u "+h.Redis.URL+" unlink")
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}
