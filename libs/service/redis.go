package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
)

// ConnectRedis opens a client, which connects when it is first used. Its timeouts are short because a provider waits for its 2xx while
// we call Redis, and ingest can continue without Redis.
func ConnectRedis(cfg config.Redis) (*redis.Client, error) {
	return connectRedis(config.Fixed(cfg))
}

// connectRedis works like ConnectRedis, with settings that may be replaced: each new connection uses the current password and certificates,
// and the address from the start.
func connectRedis(current *config.Current[config.Redis]) (*redis.Client, error) {
	o, err := parseRedis(current.Now().URL)
	if err != nil {
		return nil, err
	}
	o.ClientName = "signrelay"
	o.Protocol = 2                 // version 3 checks for push messages before every response; Signrelay uses none
	o.ContextTimeoutEnabled = true // otherwise a caller's deadline does not limit the socket
	o.MaxRetries = 1               // claims are safe to repeat: the stored token decides who owns one
	o.DialTimeout = time.Second
	o.DialerRetries = 1
	o.ReadTimeout = 500 * time.Millisecond
	o.WriteTimeout = 500 * time.Millisecond
	o.MinIdleConns = 4
	o.DisableIdentity = true // so the Redis user needs one permission less
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.CredentialsProviderContext = func(context.Context) (string, string, error) { return redisLogin(current.Now()) }
	if o.TLSConfig != nil {
		if _, err := current.Now().TLS.Client(""); err != nil {
			return nil, fmt.Errorf("redis.tls.%w", err)
		}
		server := o.TLSConfig.ServerName
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			secure, err := current.Now().TLS.Client(server)
			if err != nil {
				return nil, fmt.Errorf("redis.tls.%w", err)
			}
			dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: o.DialTimeout, KeepAlive: 5 * time.Minute}, Config: secure}
			conn, err := dialer.DialContext(ctx, network, addr)
			return conn, config.Explain("redis.tls", err)
		}
	}
	return redis.NewClient(o), nil
}

func parseRedis(address string) (*redis.Options, error) {
	o, err := redis.ParseURL(address)
	if err != nil {
		// The error omits the reason, because it contains parts of the address, and so possibly of the password.
		return nil, errors.New("redis.url: want redis://user:password@host:port/db; in a password / and @ are written %2F and %40")
	}
	return o, nil
}

// redisLogin returns our user and password for Redis: from the settings, otherwise from the URL.
func redisLogin(cfg config.Redis) (user, password string, err error) {
	if cfg.Username != "" || cfg.Password != "" {
		return cfg.Username, cfg.Password, nil
	}
	o, err := parseRedis(cfg.URL)
	if err != nil {
		return "", "", err
	}
	return o.Username, o.Password, nil
}

// RedisProbes checks Redis with the commands that the program uses: a response to PING does not prove that Redis accepts a claim.
type RedisProbes struct {
	client redis.Cmdable
	mu     sync.Mutex
	all    []func(context.Context) error
}

// NewRedisProbes returns an empty set of probes for the Redis of client.
func NewRedisProbes(client redis.Cmdable) *RedisProbes { return &RedisProbes{client: client} }

// Add adds a probe.
func (p *RedisProbes) Add(probe func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, probe)
}

// NameRefusal explains err. If Redis refused a command of a script, NameRefusal also names that command: it runs each command on the
// probe's key, because Redis before version 7 does not name the refused command of a script.
func NameRefusal(ctx context.Context, client redis.Cmdable, err error) error {
	explained := ExplainRedis(err)
	if !strings.HasPrefix(explained.Error(), lacks) {
		return explained
	}
	const key = "signrelay:limit:{probe}:next"
	tries := map[string]func() error{
		"get":  func() error { return client.Get(ctx, key).Err() },
		"set":  func() error { return client.Set(ctx, key, 0, time.Second).Err() },
		"time": func() error { return client.Time(ctx).Err() },
	}
	if errors.Is(err, dedupe.ErrProbe) { // claims need one command more
		tries["del"] = func() error { return client.Del(ctx, key).Err() }
	}
	for _, command := range slices.Sorted(maps.Keys(tries)) {
		if refused := tries[command](); refused != nil && strings.Contains(refused.Error(), "NOPERM") && strings.Contains(refused.Error(), "command") {
			return fmt.Errorf("%w; it lacks +%s", explained, command)
		}
	}
	return explained
}

// Check runs all probes and explains the first failure.
func (p *RedisProbes) Check(ctx context.Context) error {
	p.mu.Lock()
	all := p.all
	p.mu.Unlock()
	for _, probe := range all {
		if err := probe(ctx); err != nil {
			return NameRefusal(ctx, p.client, err)
		}
	}
	return nil
}

const lacks = "the user of redis.username or redis.url lacks a command or a key: give it its line of deployments/redis/users.conf (docs/operate.md, \"A Redis user\")"

// redisRefusals are the error codes with which Redis refuses a command, and the fix for each. For a command in a script, Redis 6 has the
// code inside the error's text, Redis 7 at its start.
var redisRefusals = []struct{ code, says string }{
	{"WRONGPASS", "redis.username and redis.password, or those in redis.url, are refused"},
	{"NOAUTH", "redis.username and redis.password, or those in redis.url, are refused"},
	{"NOPERM", lacks},
	{"ACL failure in script", lacks},
	{"executing the script can't", lacks},
	{"READONLY", "redis.url leads to a replica, which accepts no claims: let it lead to the primary, or promote this one"},
	{"OOM", "Redis is full (maxmemory), so it accepts no claims: give it more memory"},
	{"CROSSSLOT", "redis.url leads to a Redis Cluster, which refuses commands with several keys: use one server without cluster-enabled"},
	{"MOVED", "redis.url leads to a Redis Cluster, which stores the keys on another node: use one server without cluster-enabled"},
	{"CLUSTERDOWN", "redis.url leads to a Redis Cluster that is incomplete: use one server without cluster-enabled"},
	{"MISCONF", "Redis cannot write to its disk, so it accepts no claims: see its log, and free disk space"},
	{"NOREPLICAS", "Redis has fewer replicas than min-replicas-to-write, so it accepts no claims: start more replicas"},
	{"LOADING", "Redis is loading its data from disk after a start: wait"},
	{"MASTERDOWN", "redis.url leads to a replica whose primary is unavailable: let it lead to the primary, or promote this one"},
	{"unknown command", "this Redis has no scripts (EVAL), which claims need: allow them, or use another Redis"},
	{"max number of clients", "Redis accepts no more connections: raise its maxclients"},
	{"DB index is out of range", "redis.url names a database that does not exist in this Redis: use /0"},
}

// ExplainRedis names the setting or the part that is wrong when Redis refuses a command.
func ExplainRedis(err error) error {
	for _, r := range redisRefusals {
		if strings.Contains(err.Error(), r.code) {
			return fmt.Errorf("%s: %w", r.says, err)
		}
	}
	return config.Explain("redis.tls", err)
}
