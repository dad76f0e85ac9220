package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// secrets is a folder of files with settings.
type secrets struct {
	t    *testing.T
	dir  string
	live *config.Live
}

// write writes a file, and returns its path.
func (s *secrets) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// load reads the settings from files: each name is the name of a setting, such as NATS_PASSWORD.
func (s *secrets) load(files map[string]string, environ ...string) config.Config {
	s.t.Helper()
	for name, text := range files {
		environ = append(environ, "SIGNRELAY_"+name+"_FILE="+s.write(name, text))
	}
	cfg, _, err := config.Load(nil, nil, environ)
	if err != nil {
		s.t.Fatal(err)
	}
	s.live = config.NewLive(cfg)
	return cfg
}

// replace replaces some of the files and reloads them.
func (s *secrets) replace(files map[string]string) {
	s.t.Helper()
	for name, text := range files {
		s.write(name, text)
	}
	if replaced, err := s.live.Reread(Check, true); err != nil || len(replaced) != len(files) {
		s.t.Fatalf("replaced %q: %v", replaced, err)
	}
}

// accept makes a broker accept one user with a client certificate of the authority.
func accept(authority *realtest.Authority, password string) func(*server.Options) {
	return func(o *server.Options) {
		o.Username, o.Password = "ingest", password
		o.TLSConfig, o.TLSVerify, o.TLSTimeout = authority.Server(true), true, 5
	}
}

func (s *secrets) connect(log *lockedBuffer) *nats.Conn {
	s.t.Helper()
	conn, err := connectNATS(config.Pick(s.live, func(c config.Config) config.NATS { return c.NATS }), "test", telemetry.Logger(log, "info", "test"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	return conn
}

func TestNATSWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	authority, stranger := realtest.NewAuthority(t), realtest.NewAuthority(t)
	broker := realtest.NATSWith(t, accept(authority, "right"))
	certificate, key := authority.Issue("ingest")
	strange, strangeKey := stranger.Issue("ingest")
	for name, c := range map[string]struct{ ca, certificate, key, password, want string }{
		"all settings are right": {authority.PEM, certificate, key, "right", "nats connected"},
		"a wrong CA":             {stranger.PEM, certificate, key, "right", "nats.tls.ca lacks the authority"},
		"the system's CAs":       {"", certificate, key, "right", "nats.tls.ca lacks the authority"},
		"a wrong certificate":    {authority.PEM, strange, strangeKey, "right", "nats.tls.certificate"},
		"no certificate":         {authority.PEM, "", "", "right", "nats cannot be reached"}, // the server may close the connection before the client reads the reason
		"a wrong password":       {authority.PEM, certificate, key, "wrong", "nats.user and nats.password"},
		"a server without TLS":   {authority.PEM, certificate, key, "right", "does not support TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := broker.URL
			if strings.HasPrefix(name, "a server") {
				url = realtest.NATS(t).URL
			}
			s := &secrets{t: t, dir: t.TempDir()}
			s.load(map[string]string{"NATS_TLS_CA": c.ca, "NATS_TLS_CERTIFICATE": c.certificate, "NATS_TLS_KEY": c.key, "NATS_PASSWORD": c.password},
				"SIGNRELAY_NATS_URL="+url, "SIGNRELAY_NATS_USER=ingest")
			log := &lockedBuffer{}
			conn := s.connect(log)
			until(t, "the result is logged", func() bool { return strings.Contains(log.String(), c.want) })
			if conn.IsConnected() != (name == "all settings are right") {
				t.Errorf("connected: %v", conn.IsConnected())
			}
			if text := log.String(); strings.Contains(text, "wrong\"") || strings.Contains(text, "PRIVATE") {
				t.Errorf("a secret was logged: %s", text)
			}
		})
	}
}

// The broker gets a new password and a certificate of another authority while the service is connected. The service reconnects with
// the new values from its files, whether the files or the broker change first.
func TestNATSIsRotated(t *testing.T) {
	t.Parallel()
	for _, filesFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("files first %v", filesFirst), func(t *testing.T) {
			t.Parallel()
			old, next := realtest.NewAuthority(t), realtest.NewAuthority(t)
			broker := realtest.NATSWith(t, accept(old, "one"))
			s := &secrets{t: t, dir: t.TempDir()}
			certificate, key := old.Issue("ingest")
			s.load(map[string]string{"NATS_TLS_CA": old.PEM, "NATS_TLS_CERTIFICATE": certificate, "NATS_TLS_KEY": key, "NATS_PASSWORD": "one"},
				"SIGNRELAY_NATS_URL="+broker.URL, "SIGNRELAY_NATS_USER=ingest")
			log := &lockedBuffer{}
			conn := s.connect(log)
			until(t, "it is connected", conn.IsConnected)

			files := func() {
				certificate, key := next.Issue("ingest")
				s.replace(map[string]string{"NATS_TLS_CA": next.PEM, "NATS_TLS_CERTIFICATE": certificate, "NATS_TLS_KEY": key, "NATS_PASSWORD": "two"})
			}
			if filesFirst {
				files()
				if conn.Stats().Reconnects != 0 {
					t.Error("the service dropped a working connection")
				}
			}
			broker.Change(accept(next, "two"))
			if !filesFirst {
				until(t, "it is disconnected", func() bool { return strings.Contains(log.String(), "nats cannot be reached") })
				files()
			}
			until(t, "it is reconnected", func() bool { return strings.Contains(log.String(), "nats reconnected") })
			if err := conn.Publish("s", nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func until(t *testing.T, description string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: waited until %s", description)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestRedisWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	authority, stranger := realtest.NewAuthority(t), realtest.NewAuthority(t)
	r, admin := secureRedis(t, authority)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "ingest", "on", ">right", "~*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	certificate, key := authority.Issue("ingest")
	for name, c := range map[string]struct{ ca, certificate, key, password, want string }{
		"all settings are right": {authority.PEM, certificate, key, "right", ""},
		"a wrong CA":             {stranger.PEM, certificate, key, "right", "redis.tls.ca lacks the authority"},
		"no certificate":         {authority.PEM, "", "", "right", " "}, // the server may close the connection before the client reads the reason
		"a wrong password":       {authority.PEM, certificate, key, "wrong", "redis.username and redis.password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := ConnectRedis(config.Redis{
				URL: r.Secure, Username: "ingest", Password: c.password, TLS: config.TLS{CA: c.ca, Certificate: c.certificate, Key: c.key},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			err = redisProbes(client).Check(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	// User and password may also be in the URL.
	withUser := strings.Replace(r.Secure, "rediss://", "rediss://ingest:right@", 1)
	client, err := ConnectRedis(config.Redis{URL: withUser, TLS: config.TLS{CA: authority.PEM, Certificate: certificate, Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// secureRedis returns a Redis that requires certificates of the authority, and a client for its operator.
func secureRedis(t *testing.T, authority *realtest.Authority) (r *realtest.RedisServer, admin redis.UniversalClient) {
	t.Helper()
	r = realtest.RedisWithTLS(t, authority, true)
	admin, err := ConnectRedis(config.Redis{URL: r.URL}) // its port without TLS, which accepts the operator
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	return r, admin
}

// Redis gets another authority's certificate and a new password, and closes all connections.
func TestRedisIsRotated(t *testing.T) {
	t.Parallel()
	old, next := realtest.NewAuthority(t), realtest.NewAuthority(t)
	r, admin := secureRedis(t, old)
	do := func(args ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	do("ACL", "SETUSER", "ingest", "on", ">one", "~*", "+@all")
	certificate, key := old.Issue("ingest")
	s := &secrets{t: t, dir: t.TempDir()}
	s.load(map[string]string{"REDIS_TLS_CA": old.PEM, "REDIS_TLS_CERTIFICATE": certificate, "REDIS_TLS_KEY": key, "REDIS_PASSWORD": "one"},
		"SIGNRELAY_REDIS_URL="+r.Secure, "SIGNRELAY_REDIS_USERNAME=ingest")
	client, err := connectRedis(config.Pick(s.live, func(c config.Config) config.Redis { return c.Redis }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ping := redisProbes(client).Check
	if err := ping(t.Context()); err != nil {
		t.Fatal(err)
	}

	r.Change(next)
	do("ACL", "SETUSER", "ingest", ">two", "<one")
	do("CLIENT", "KILL", "USER", "ingest")
	until(t, "it is unavailable", func() bool { return ping(t.Context()) != nil })

	certificate, key = next.Issue("ingest")
	s.replace(map[string]string{"REDIS_TLS_CA": next.PEM, "REDIS_TLS_CERTIFICATE": certificate, "REDIS_TLS_KEY": key, "REDIS_PASSWORD": "two"})
	until(t, "it is available again", func() bool { return ping(t.Context()) == nil })
}

// A host polls its files, counts changes, and continues with the old values if the new ones are invalid.
func TestAHostReplacesItsSecrets(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	s := &secrets{t: t, dir: t.TempDir()}
	cfg := s.load(map[string]string{"NATS_PASSWORD": "one"}, "SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_URL="+broker.URL)
	cfg.Admin.Addr = freeAddr(t)
	live := make(chan *config.Live, 1)
	h := openHost(t, Host{Config: cfg, rereadEvery: 100 * time.Millisecond, Services: []Service{{Name: "ingest", Run: func(ctx context.Context, env Env) error {
		live <- env.Live
		env.Up()
		<-ctx.Done()
		return nil
	}}}})
	password := config.Pick(<-live, func(c config.Config) string { return c.NATS.Password })
	s.write("NATS_PASSWORD", "hunter2")
	until(t, "it is replaced", func() bool { return password.Now() == "hunter2" })
	s.write("NATS_PASSWORD", "")
	metric := func(line string) func() bool {
		return func() bool {
			_, text, err := get(h.admin + "/metrics")
			return err == nil && strings.Contains(text, line)
		}
	}
	until(t, "it is refused", metric(`signrelay_config_reloads_total{outcome="refused"}`))
	until(t, "it is counted", metric(`signrelay_config_reloads_total{outcome="replaced"} 1`))
	if password.Now() != "hunter2" {
		t.Error("the old value was replaced by an invalid one")
	}
	if said := h.log.String(); strings.Contains(said, "hunter2") || !strings.Contains(said, "nats.password") {
		t.Errorf("logged: %s", said)
	}
}
