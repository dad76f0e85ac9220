package realtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisServer is a Redis for one test, empty at first.
type RedisServer struct {
	URL string // redis://127.0.0.1:<port>/<db>
	// Secure is rediss://127.0.0.1:<port>/0 of a server with TLS, which also accepts connections at URL.
	Secure string

	// Master is the primary's name for the Sentinels at URL; empty without Sentinels.
	Master string
	// Cluster is true if URL has the nodes of a cluster.
	Cluster bool

	group  []*redisProcess // the servers that hold data, with Sentinel and in a cluster
	start  func()
	stop   func()
	kill   func()           // nil for an outside server
	change func(*Authority) // nil for a server without TLS
	up     bool
}

// Redis starts a redis-server on a free loopback port, with an append-only file that is written before each reply and synced every second, as
// in deployments: a killed Redis loses no data. It ends with the test. With SIGNRELAY_TEST_REDIS_URL it takes a database of that server
// instead, and Stop cuts the connections to it. Use FLUSHDB, never FLUSHALL.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	Server(t, "a Redis")
	if url := os.Getenv("SIGNRELAY_TEST_REDIS_URL"); url != "" {
		return outsideRedis(t, url)
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not in PATH: install the Debian package redis-server, or set SIGNRELAY_TEST_REDIS_URL to a Redis for tests")
	}

	return startRedis(t, program, nil)
}

// RedisWithTLS works like Redis, with a certificate of the authority, which also accepts the authority's client certificates; clients need
// one if mutual is true. It is always a separate server.
func RedisWithTLS(t testing.TB, authority *Authority, mutual bool) *RedisServer {
	t.Helper()
	Server(t, "a Redis")
	program, err := exec.LookPath("redis-server")
	if err != nil {
		Missing(t, "redis-server is not in PATH, and only one of our own has TLS: install the Debian package redis-server")
	}
	tls := identity(t, authority)
	tls["tls-auth-clients"] = "no"
	if mutual {
		tls["tls-auth-clients"] = "yes"
	}
	tls["tls-port"] = freePort(t)
	return startRedis(t, program, tls)
}

// RedisWith works like Redis, with other settings of redis-server, such as cluster-enabled. It is always a separate server, so a test may
// also change it while it runs.
func RedisWith(t testing.TB, settings map[string]string) *RedisServer {
	t.Helper()
	Server(t, "a Redis")
	program, err := exec.LookPath("redis-server")
	if err != nil {
		Missing(t, "redis-server is not in PATH, and only one of our own has other settings: install the Debian package redis-server")
	}
	return startRedis(t, program, settings)
}

// RedisWithUsers works like Redis, with users, as lines of redis.conf. The user "default" may do everything, without a password. An outside
// Redis keeps its own users: then it returns false.
func RedisWithUsers(t testing.TB, users string) (server *RedisServer, guarded bool) {
	t.Helper()
	if os.Getenv("SIGNRELAY_TEST_REDIS_URL") != "" {
		return Redis(t), false
	}
	file := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	return RedisWith(t, map[string]string{"include": file}), true
}

// identity returns the settings of a server with a new certificate of the authority, whose files are in a separate folder.
func identity(t testing.TB, authority *Authority) map[string]string {
	t.Helper()
	dir := t.TempDir()
	certificate, key := authority.Issue("server")
	settings := make(map[string]string)
	for name, text := range map[string]string{"tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority.PEM} {
		settings[name] = filepath.Join(dir, name)
		if err := os.WriteFile(settings[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return settings
}

func startRedis(t testing.TB, program string, settings map[string]string) *RedisServer {
	t.Helper()
	quiet()
	p := &redisProcess{t: t, program: program, dir: t.TempDir(), settings: settings}
	_, secure := settings["tls-port"]
	var err error
	r := &RedisServer{start: p.start, stop: p.stop, kill: p.kill}
	// Another process may take a free port before redis-server does, so try several.
	for range 10 {
		p.port = freePort(t)
		if secure {
			settings["tls-port"] = freePort(t)
		}
		if err = p.run(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r.up, r.URL = true, "redis://"+p.addr()+"/0"
	if secure {
		r.Secure, r.change = "rediss://127.0.0.1:"+settings["tls-port"]+"/0", p.change
	}
	t.Cleanup(r.Stop)
	return r
}

// Change gives the running server of RedisWithTLS a new certificate of the authority. From then on the server trusts this authority's
// clients. It closes no connection.
func (r *RedisServer) Change(authority *Authority) { r.change(authority) }

// Start starts a stopped Redis, at the same URL and with its stored data.
func (r *RedisServer) Start() {
	if !r.up {
		r.start()
		r.up = true
	}
}

// Stop stops Redis in an orderly way.
func (r *RedisServer) Stop() {
	if r.up {
		r.stop()
		r.up = false
	}
}

// Kill ends Redis like a crash. An outside server is stopped instead.
func (r *RedisServer) Kill() {
	switch {
	case !r.up:
	case r.kill == nil:
		r.Stop()
	default:
		r.kill()
		r.up = false
	}
}

// redisProcess is a redis-server that the test started.
type redisProcess struct {
	t        testing.TB
	program  string
	dir      string
	settings map[string]string // in addition to the usual ones, by name
	sentinel string            // the configuration file of a Sentinel; empty for a server with data
	port     string
	cmd      *exec.Cmd
	exited   chan struct{}
}

func (p *redisProcess) addr() string { return net.JoinHostPort("127.0.0.1", p.port) }

func (p *redisProcess) start() {
	p.t.Helper()
	if err := p.run(); err != nil {
		p.t.Fatal(err)
	}
}

// run starts the process and waits until it responds.
func (p *redisProcess) run() error {
	args := []string{
		"--bind", "127.0.0.1", "--port", p.port, "--dir", p.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--loglevel", "warning",
	}
	for name, value := range p.settings {
		args = append(args, "--"+name, value)
	}
	if p.sentinel != "" {
		args = []string{p.sentinel, "--sentinel"}
	}
	cmd := exec.Command(p.program, args...)
	// If the test binary is killed, for example by its timeout, the server ends too.
	cmd.SysProcAttr = orphansDie()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	p.cmd, p.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // its exit status does not matter: it was stopped, or it does not respond
		close(p.exited)
	}()

	client := plainClient(&redis.Options{Addr: p.addr()})
	defer func() { _ = client.Close() }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		pid, err := serverPID(ctx, client)
		cancel()
		switch {
		case err == nil && pid == cmd.Process.Pid:
			return nil
		case err == nil:
			p.stop()
			return fmt.Errorf("port %s belongs to another Redis", p.port)
		case time.Now().After(deadline):
			p.stop()
			return fmt.Errorf("redis-server does not respond on port %s: %w", p.port, err)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("redis-server ended at once; check whether port %s is taken", p.port)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *redisProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if the process has ended
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

func (p *redisProcess) kill() {
	_ = p.cmd.Process.Kill() // fails only if the process has ended
	<-p.exited
}

func (p *redisProcess) change(authority *Authority) {
	p.t.Helper()
	next := identity(p.t, authority)
	set := []any{"CONFIG", "SET"} // all at once, because Redis refuses a certificate with another certificate's key
	for name, value := range next {
		set = append(set, name, value)
	}
	client := plainClient(&redis.Options{Addr: p.addr()})
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Do(ctx, set...).Err(); err != nil {
		p.t.Fatalf("change the certificate of redis-server: %v", err)
	}
	maps.Copy(p.settings, next) // for the next start
}

// serverPID returns the id of the process that responds: the port may belong to another test by now.
func serverPID(ctx context.Context, client *redis.Client) (int, error) {
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		return 0, errors.New("INFO server contains no process_id")
	}
	return pid, nil
}

// quiet keeps the client from logging each connection that a starting server refuses.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// RedisClient returns a client for the Redis at that URL; it closes when the test ends.
func RedisClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// plainClient does not retry, so that the loop around it decides how long to wait.
func plainClient(o *redis.Options) *redis.Client {
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o)
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return port
}
