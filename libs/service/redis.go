package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/signrelay/signrelay/libs/config"
)

// ConnectRedis opens a client; it connects when it is first used. Its timeouts are short because what is asked of Redis
// stands between a provider and its 2xx, and there is a way on without Redis.
func ConnectRedis(cfg config.Redis) (*redis.Client, error) {
	return connectRedis(func() config.Redis { return cfg })
}

// connectRedis is ConnectRedis with settings that may be replaced: each connection is made with the password and the
// certificates of then, at the address of the beginning.
func connectRedis(now func() config.Redis) (*redis.Client, error) {
	o, err := parseRedis(now().URL)
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
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.CredentialsProviderContext = func(context.Context) (string, string, error) { return redisLogin(now()) }
	if o.TLSConfig != nil {
		if _, err := now().TLS.Client(""); err != nil {
			return nil, fmt.Errorf("redis.tls.%w", err)
		}
		server := o.TLSConfig.ServerName
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			secure, err := now().TLS.Client(server)
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

// pingRedis tells whether Redis answers, and which setting is wrong where it does not let us in.
func pingRedis(client *redis.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		err := client.Ping(ctx).Err()
		if err != nil && (strings.HasPrefix(err.Error(), "WRONGPASS") || strings.HasPrefix(err.Error(), "NOAUTH")) {
			return fmt.Errorf("redis.username and redis.password, or those in redis.url, are not let in: %w", err)
		}
		return config.Explain("redis.tls", err)
	}
}
