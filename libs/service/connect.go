package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
)

// ConnectNATS opens a connection that never gives up: it returns at once when no server answers yet, and comes back after
// every outage. While it is away a publish fails at once, and so certainly has not happened; nothing waits in a buffer of
// the client, where a crash would lose it after somebody was told it was on its way. It fails on credentials that cannot
// be read and on an address that is none.
func ConnectNATS(cfg config.NATS, name string, log *slog.Logger) (*nats.Conn, error) {
	return connectNATS(config.Fixed(cfg), name, log)
}

// connectNATS is ConnectNATS with settings that may be replaced: each connection is made with the password and the
// certificates of then.
func connectNATS(current *config.Current[config.NATS], name string, log *slog.Logger) (*nats.Conn, error) {
	cfg := current.Now()
	failed := &lastWords{}
	// The connection is retried twice a second, and the library reports each attempt in two or three ways.
	news := func(what string, err error) bool { return !failed.repeated(what + err.Error()) }
	unreachable := func(err error) {
		if news("unreachable", err) {
			log.Warn("nats cannot be reached", "error", explainNATS(err))
		}
	}
	var opened atomic.Pointer[nats.Conn]
	options := []nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(int) time.Duration {
			// Of what fails behind the dialling, TLS and the login, the library says nothing but this.
			if c := opened.Load(); c != nil && c.LastError() != nil {
				unreachable(c.LastError())
			}
			// Replicas do not come back all at once.
			return reconnectWait + rand.N(reconnectWait) //nolint:gosec // nobody gains by guessing it
		}),
		nats.ReconnectBufSize(-1),
		// Each question to the log waits for at most 257 messages on a channel of its own. The default makes room for 65,536 of
		// them, half a megabyte a question.
		nats.SyncQueueLen(512),
		nats.IgnoreAuthErrorAbort(), // a rotated credential may be right again at the next try
		// A peer that vanished without a word is noticed after 20 to 30 s, not after the default of 6 minutes.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { log.Info("nats connected") }),
		nats.ReconnectHandler(func(*nats.Conn) {
			failed.over()
			log.Info("nats reconnected")
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { unreachable(err) }),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if !c.IsClosed() && err != nil && news("disconnected", err) {
				log.Warn("nats disconnected", "error", explainNATS(err))
			}
		}),
		nats.ErrorHandler(func(c *nats.Conn, _ *nats.Subscription, err error) {
			if c.IsConnected() && news("error", err) { // else it is the reason of a failed attempt, which is logged above
				log.Warn("nats error", "error", err)
			}
		}),
	}
	if cfg.Creds != "" {
		// Looked at now, because the connection itself would go on trying.
		if _, err := os.Stat(cfg.Creds); err != nil {
			return nil, settingError{fmt.Errorf("nats.creds: %w", err)}
		}
		options = append(options, nats.UserCredentials(cfg.Creds))
	}
	if cfg.User != "" {
		options = append(options, nats.UserInfoHandler(func() (user, password string) {
			cfg := current.Now()
			return cfg.User, cfg.Password
		}))
	}
	if cfg.TLS.Set() {
		if _, err := cfg.TLS.Client(""); err != nil {
			return nil, settingError{fmt.Errorf("nats.tls.%w", err)}
		}
		options = append(options, nats.ClientTLSConfig(ownCertificate(current), authorities(current)))
	}
	conn, err := nats.Connect(cfg.URL, append(options, cfg.Options...)...)
	if err != nil {
		if errors.As(err, new(*url.Error)) { // it repeats the address, password and all
			return nil, settingError{errors.New("nats.url is not a URL")}
		}
		return nil, fmt.Errorf("connect to NATS: %w", explainNATS(err))
	}
	opened.Store(conn)
	return conn, nil
}

// reconnectWait is the least between two attempts to come back.
const reconnectWait = 250 * time.Millisecond

// ownCertificate is our certificate of now; without one it is empty, which is none.
func ownCertificate(current *config.Current[config.NATS]) nats.TLSCertHandler {
	return func() (tls.Certificate, error) {
		secure, err := current.Now().TLS.Client("")
		if err != nil || len(secure.Certificates) == 0 {
			return tls.Certificate{}, err
		}
		return secure.Certificates[0], nil
	}
}

// authorities is whom we believe now; nil is whom the system believes.
func authorities(current *config.Current[config.NATS]) nats.RootCAsHandler {
	return func() (*x509.CertPool, error) {
		secure, err := current.Now().TLS.Client("")
		if err != nil {
			return nil, err
		}
		return secure.RootCAs, nil
	}
}

// ConnectNow is ConnectNATS for a command, which a person waits for: it returns a connection that is up, or why there is none. It tries
// again until ctx ends, but not at a server that refuses us.
func ConnectNow(ctx context.Context, cfg config.NATS, name string, log *slog.Logger) (*nats.Conn, error) {
	cfg.Options = append(slices.Clone(cfg.Options), nats.RetryOnFailedConnect(false))
	failed := &lastWords{}
	for {
		conn, err := ConnectNATS(cfg, name, log)
		if err == nil || refused(err) {
			return conn, err
		}
		if !failed.repeated(err.Error()) {
			log.Warn("nats cannot be reached", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(reconnectWait):
		}
	}
}

// StopWhenForbidden makes a command's connection call stop when the server forbids a request: no response would come.
func StopWhenForbidden(cfg config.NATS, stop func()) config.NATS {
	cfg.Options = append(slices.Clone(cfg.Options), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			stop()
		}
	}))
	return cfg
}

// refused reports whether trying again, with the same settings, gets the same answer.
func refused(err error) bool {
	var certificate *tls.CertificateVerificationError
	var unknown *net.DNSError
	return errors.As(err, &unknown) && unknown.IsNotFound || errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrSecureConnWanted) ||
		errors.As(err, &certificate) || errors.As(err, new(tls.AlertError)) || errors.As(err, new(settingError))
}

// settingError is the error of a setting with which no connection is tried.
type settingError struct{ error }

func (e settingError) Unwrap() error { return e.error }

// explainNATS says which setting is wrong when a connection is refused.
func explainNATS(err error) error {
	var unknown *net.DNSError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("nats.user and nats.password, or nats.creds, are not let in: %w", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("nats.tls is set, and the server speaks no TLS: %w", err)
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Errorf("the host in nats.url has no address: check its name: %w", err)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("nothing listens at nats.url: is the server running, and is the port right? %w", err)
	case errors.Is(err, nats.ErrNoInfoReceived), errors.Is(err, nats.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no NATS server answers at nats.url: is the port right, and is the network open? %w", err)
	default:
		return config.Explain("nats.tls", err)
	}
}

// ExplainJetStream says why a question to JetStream has no answer. A server that does not allow the question says so on the
// connection and not in an answer, so the question itself times out.
func ExplainJetStream(conn *nats.Conn, err error) error {
	last := conn.LastError()
	switch {
	case err == nil:
		return nil
	case noJetStream(err):
		return fmt.Errorf("the NATS server, or the account of nats.user, has no JetStream: %w", jetstream.ErrJetStreamNotEnabled)
	case last != nil && errors.Is(last, nats.ErrPermissionViolation):
		return fmt.Errorf("nats.user may not do this, see deployments/nats/accounts.conf: %w", last)
	case !conn.IsConnected():
		return noNATS(conn)
	default:
		return err
	}
}

func noJetStream(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}

// noNATS is why there is no connection, as far as it is known.
func noNATS(conn *nats.Conn) error {
	if err := conn.LastError(); err != nil {
		return fmt.Errorf("%w: %w", errNoNATS, explainNATS(err))
	}
	return errNoNATS
}

// lastWords limits a repeated reason to one log line, and to one a minute while it lasts.
type lastWords struct {
	mu   sync.Mutex
	told map[string]time.Time
}

const (
	tellEvery = time.Minute
	// mostReasons limits how many reasons are remembered when they differ each time.
	mostReasons = 16
)

// numbers differ where the reason is the same: the port of each attempt, for example.
var numbers = regexp.MustCompile(`[0-9]+`)

// repeated reports whether the reason was logged within the last minute. If not, it counts as logged now.
func (l *lastWords) repeated(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	text = numbers.ReplaceAllString(text, "0")
	if at, found := l.told[text]; found && time.Since(at) < tellEvery {
		return true
	}
	if len(l.told) >= mostReasons || l.told == nil {
		l.told = map[string]time.Time{}
	}
	l.told[text] = time.Now()
	return false
}

// over forgets all reasons: the connection is back, so the next failure is logged again.
func (l *lastWords) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = nil
}
