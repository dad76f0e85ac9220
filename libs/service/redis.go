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

// ConnectRedis opens a client; it connects when it is first used. Its timeouts are short because what is asked of Redis
// stands between a provider and its 2xx, and there is a way on without Redis.
func ConnectRedis(cfg config.Redis) (*redis.Client, error) {
	return connectRedis(config.Fixed(cfg))
}

// connectRedis is ConnectRedis with settings that may be replaced: each connection is made with the password and the
// certificates of then, at the address of the beginning.
func connectRedis(current *config.Current[config.Redis]) (*redis.Client, error) {
	o, err := parseRedis(current.Now().URL)
	if err != nil {
		return nil, err
	}
	o.ClientName = "signrelay"
	o.Protocol = 2                 // version 3 looks for pushed notices before every answer, which nobody sends us
	o.ContextTimeoutEnabled = true // else a caller's deadline does not bound the socket
	o.MaxRetries = 1               // claims are safe to repeat: they are decided by whose token stands there
	o.DialTimeout = time.Second
	o.DialerRetries = 1
	o.ReadTimeout = 500 * time.Millisecond
	o.WriteTimeout = 500 * time.Millisecond
	o.MinIdleConns = 4
	o.DisableIdentity = true // one command less that the user must be allowed
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
		// Without the reason, which repeats parts of the address, and so of the password.
		return nil, errors.New("redis.url: want redis://user:password@host:port/db; in a password / and @ are written %2F and %40")
	}
	return o, nil
}

// redisLogin is who we are there: what the settings say of it, else what stands in the URL.
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

// RedisProbes is what a program asks of Redis, and so what Redis is judged by: PING says nothing of whether it takes a claim.
type RedisProbes struct {
	client redis.Cmdable
	mu     sync.Mutex
	all    []func(context.Context) error
}

// NewRedisProbes returns no probes yet of the Redis of client.
func NewRedisProbes(client redis.Cmdable) *RedisProbes { return &RedisProbes{client: client} }

// Add adds a probe.
func (p *RedisProbes) Add(probe func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, probe)
}

// NameRefusal explains err, and where Redis refused a script's command names that command: by running it on the probe's key, because Redis
// before version 7 does not say it of a script.
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

// Check runs all probes, and explains the first that fails.
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

// redisRefusals are the codes with which Redis refuses, and what to do about each. Redis 6 has the code of a command in a script inside the
// error's text, Redis 7 in front.
var redisRefusals = []struct{ code, says string }{
	{"WRONGPASS", "redis.username and redis.password, or those in redis.url, are not let in"},
	{"NOAUTH", "redis.username and redis.password, or those in redis.url, are not let in"},
	{"NOPERM", lacks},
	{"ACL failure in script", lacks},
	{"executing the script can't", lacks},
	{"READONLY", "redis.url leads to a replica, which takes no claims: let it lead to the primary, or promote this one"},
	{"OOM", "Redis is full (maxmemory), so it takes no claims: give it more memory"},
	{"CROSSSLOT", "redis.url leads to a Redis Cluster, which does not take several keys at once: use one server without cluster-enabled"},
	{"MOVED", "redis.url leads to a Redis Cluster, which keeps the keys elsewhere: use one server without cluster-enabled"},
	{"CLUSTERDOWN", "redis.url leads to a Redis Cluster that is not complete: use one server without cluster-enabled"},
	{"MISCONF", "Redis cannot write to its disk, so it takes no claims: see its log, and make room"},
	{"NOREPLICAS", "Redis has fewer replicas than min-replicas-to-write, so it takes no claims: bring them back"},
	{"LOADING", "Redis reads its data from disk after a start: wait"},
	{"MASTERDOWN", "redis.url leads to a replica whose primary is away: let it lead to the primary, or promote this one"},
	{"unknown command", "this Redis has no scripts (EVAL), which claims need: allow them, or use another"},
	{"max number of clients", "Redis takes no more connections: raise its maxclients"},
	{"DB index is out of range", "redis.url names a database that this Redis has not: end it in /0"},
}

// ExplainRedis says which setting or part is wrong when Redis refuses.
func ExplainRedis(err error) error {
	for _, r := range redisRefusals {
		if strings.Contains(err.Error(), r.code) {
			return fmt.Errorf("%s: %w", r.says, err)
		}
	}
	return config.Explain("redis.tls", err)
}
