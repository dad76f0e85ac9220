package service

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/signrelay/signrelay/libs/config"
)

// ConnectNATS opens a connection that never gives up: it returns at once when no server answers yet, and comes back after
// every outage. While it is away a publish fails at once, and so certainly has not happened; nothing waits in a buffer of
// the client, where a crash would lose it after somebody was told it was on its way. It fails on credentials that cannot
// be read and on an address that is none.
func ConnectNATS(cfg config.NATS, name string, log *slog.Logger) (*nats.Conn, error) {
	failed := &lastWords{}
	options := []nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), // replicas do not come back all at once
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // a rotated credential may be right again at the next try
		// A peer that vanished without a word is noticed after 20 to 30 s, not after the default of 6 minutes.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { log.Info("nats connected") }),
		nats.ReconnectHandler(func(*nats.Conn) {
			failed.repeated("")
			log.Info("nats reconnected")
		}),
		// Twice a second while it is away, so a reason is told once.
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !failed.repeated(err.Error()) {
				log.Warn("nats cannot be reached", "err", err)
			}
		}),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if !c.IsClosed() {
				log.Warn("nats disconnected", "err", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats error", "err", err) }),
	}
	if cfg.Creds != "" {
		// Looked at now, because the connection itself would go on trying.
		if _, err := os.Stat(cfg.Creds); err != nil {
			return nil, fmt.Errorf("nats.creds: %w", err)
		}
		options = append(options, nats.UserCredentials(cfg.Creds))
	}
	conn, err := nats.Connect(cfg.URL, append(options, cfg.Options...)...)
	if err != nil {
		if errors.As(err, new(*url.Error)) { // it repeats the address, password and all
			err = errors.New("nats.url is not a URL")
		}
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return conn, nil
}

// lastWords tells whether a reason was heard just before.
type lastWords struct{ text atomic.Pointer[string] }

func (l *lastWords) repeated(text string) bool {
	before := l.text.Swap(&text)
	return before != nil && *before == text
}

// ConnectRedis opens a client; it connects when it is first used. Its timeouts are short because what is asked of Redis
// stands between a provider and its 2xx, and there is a way on without Redis.
func ConnectRedis(redisURL string) (*redis.Client, error) {
	o, err := redis.ParseURL(redisURL)
	if err != nil {
		// Without the reason, which repeats parts of the address, and so of the password.
		return nil, errors.New("redis.url: want redis://user:password@host:port/db; in a password / and @ are written %2F and %40")
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
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}
