package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
)

// ConnectRedis opens a client, which connects when it is first used: of one server, of the primary that the Sentinels name, or of a cluster.
// Its timeouts are short because a provider waits for its 2xx while we call Redis, and ingest can continue without Redis.
func ConnectRedis(cfg config.Redis) (redis.UniversalClient, error) {
	return connectRedis(config.Fixed(cfg))
}

// connectRedis is ConnectRedis with settings that may be replaced: each new connection uses the current password and
// certificates, and the addresses from the start.
func connectRedis(current *config.Current[config.Redis]) (redis.UniversalClient, error) {
	cfg := current.Now()
	parsed, addresses, err := parseRedis(cfg)
	if err != nil {
		return nil, err
	}
	if parsed.TLSConfig != nil {
		if _, err := cfg.TLS.Client(""); err != nil {
			return nil, fmt.Errorf("redis.tls.%w", err)
		}
	}
	o := redis.UniversalOptions{
		Addrs: addresses, DB: parsed.DB, TLSConfig: parsed.TLSConfig,
		MasterName: cfg.Sentinel.Master, SentinelUsername: cfg.Sentinel.Username, SentinelPassword: cfg.Sentinel.Password,
		ClientName:                 "signrelay",
		Protocol:                   2,    // version 3 checks for push messages before every response, and we use none
		ContextTimeoutEnabled:      true, // otherwise a caller's deadline does not limit the socket
		MaxRetries:                 1,    // claims are safe to repeat: the stored token decides who owns one
		DialTimeout:                time.Second,
		DialerRetries:              1,
		ReadTimeout:                500 * time.Millisecond,
		WriteTimeout:               500 * time.Millisecond,
		MinIdleConns:               4,
		DisableIdentity:            true, // so the Redis user needs one permitted command less
		MaintNotificationsConfig:   &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		CredentialsProviderContext: func(context.Context) (string, string, error) { return redisLogin(current.Now()) },
		Dialer:                     dialRedis(current, parsed),
	}
	switch {
	case cfg.Cluster:
		o.DB, o.MinIdleConns = 0, 1 // for each node
		return redis.NewClusterClient(o.Cluster()), nil
	case cfg.Sentinel.Set():
		return redis.NewFailoverClient(o.Failover()), nil
	default:
		simple := o.Simple()
		simple.Network = parsed.Network
		return redis.NewClient(simple), nil
	}
}

// dialRedis returns the function that opens a connection.
func dialRedis(current *config.Current[config.Redis], parsed *redis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: time.Second, KeepAlive: 5 * time.Minute}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if parsed.Network == "unix" {
			network = "unix"
		}
		if parsed.TLSConfig == nil {
			conn, err := plain.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &rarelyProbed{Conn: conn}, nil
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		secure, err := current.Now().TLS.Client(host)
		if err != nil {
			return nil, fmt.Errorf("redis.tls.%w", err)
		}
		dialer := tls.Dialer{NetDialer: plain, Config: secure}
		conn, err := dialer.DialContext(ctx, network, addr)
		return conn, config.Explain("redis.tls", err)
	}
}

// rarelyProbed is a connection that counts as open if it was used in the last second. The client's pool otherwise reads from the socket before each use, one
// system call, to see whether the server has closed it. A connection that is closed after all costs a retry.
type rarelyProbed struct {
	net.Conn
	read atomic.Int64 // the time of the last read
}

// probeAfter is how long after the last reply a connection is probed again.
const probeAfter = time.Second

// Read implements net.Conn.
func (c *rarelyProbed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		c.read.Store(time.Now().UnixNano())
	}
	return n, err
}

// SyscallConn implements syscall.Conn for the pool's probe.
func (c *rarelyProbed) SyscallConn() (syscall.RawConn, error) {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok || time.Now().UnixNano()-c.read.Load() < int64(probeAfter) {
		return unprobed{}, nil
	}
	return raw.SyscallConn()
}

// unprobed is a socket on which no call is made.
type unprobed struct{}

func (unprobed) Control(func(uintptr)) error    { return nil }
func (unprobed) Read(func(uintptr) bool) error  { return nil }
func (unprobed) Write(func(uintptr) bool) error { return nil }

// parseRedis reads redis.url, and completes its addresses with the usual port.
func parseRedis(cfg config.Redis) (o *redis.Options, addresses []string, err error) {
	all, first := cfg.Addresses()
	if o, err = redis.ParseURL(first); err != nil {
		// The reason is left out: it contains parts of the address, and so possibly of the password.
		return nil, nil, errors.New("redis.url: want redis://user:password@host:port/db; in a password / and @ are written %2F and %40")
	}
	if o.Network == "unix" {
		return o, []string{o.Addr}, nil
	}
	usual := "6379"
	if cfg.Sentinel.Set() {
		usual = "26379"
	}
	for _, a := range all {
		u := url.URL{Host: a}
		port := u.Port()
		if port == "" {
			port = usual
		}
		host := u.Hostname()
		if host == "" {
			host = "localhost"
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return o, addresses, nil
}

// redisLogin returns our user and password for Redis: from the settings, otherwise from the URL.
func redisLogin(cfg config.Redis) (user, password string, err error) {
	if cfg.Username != "" || cfg.Password != "" {
		return cfg.Username, cfg.Password, nil
	}
	o, _, err := parseRedis(cfg)
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
	{"CROSSSLOT", "redis.url leads to a Redis Cluster: set redis.cluster"},
	{"MOVED", "redis.url leads to a Redis Cluster: set redis.cluster"},
	{"CLUSTERDOWN", "redis.url leads to a Redis Cluster that lacks a primary: without redis.cluster it cannot be used, and with it the cluster has to be repaired (redis-cli --cluster check)"},
	{"cluster support disabled", "redis.cluster is true, and the server is no cluster: remove it, or set cluster-enabled"},
	{"cluster slots", "the user of redis.username or redis.url lacks +cluster|slots, which a client of a cluster needs: give it its line of deployments/redis/users.conf"},
	{"master and replicas are", "no Sentinel at redis.url knows redis.sentinel.master: compare it with the name in sentinel.conf"},
	{"all sentinels specified in configuration are unreachable", "no Sentinel at redis.url could be asked for redis.sentinel.master: check their addresses, the name in sentinel.conf, and redis.sentinel.password"},
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
