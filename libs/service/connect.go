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

// ConnectNATS opens a connection that reconnects without limit. It returns at once if no server responds yet, and reconnects after every
// outage. During an outage, a publish fails at once, and the message is certainly not published. The client buffers no messages, because a
// crash would lose them after the caller has reported success. ConnectNATS fails for credentials that it cannot read and for an invalid
// address.
func ConnectNATS(cfg config.NATS, name string, log *slog.Logger) (*nats.Conn, error) {
	return connectNATS(config.Fixed(cfg), name, log)
}

// connectNATS works like ConnectNATS, with settings that may be replaced: each reconnect uses the current password and certificates.
func connectNATS(current *config.Current[config.NATS], name string, log *slog.Logger) (*nats.Conn, error) {
	cfg := current.Now()
	reasons := &loggedReasons{}
	// The client reconnects twice a second, and the library reports each attempt in two or three ways.
	news := func(kind string, err error) bool { return !reasons.repeated(kind + err.Error()) }
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
			// The library reports a TLS or login failure only in LastError.
			if c := opened.Load(); c != nil && c.LastError() != nil {
				unreachable(c.LastError())
			}
			// The jitter prevents that all replicas reconnect at once.
			return reconnectWait + rand.N(reconnectWait) //nolint:gosec // the jitter need not be secret
		}),
		nats.ReconnectBufSize(-1),
		// Each read of the log waits for at most 257 messages on its own channel. The default has room for 65,536 messages,
		// half a megabyte for each read.
		nats.SyncQueueLen(512),
		nats.IgnoreAuthErrorAbort(), // after a rotation, the next attempt may have the right credential
		// The client notices after 20 to 30 s that its peer vanished, instead of after the default of 6 minutes.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { log.Info("nats connected") }),
		nats.ReconnectHandler(func(*nats.Conn) {
			reasons.over()
			log.Info("nats reconnected")
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { unreachable(err) }),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if !c.IsClosed() && err != nil && news("disconnected", err) {
				log.Warn("nats disconnected", "error", explainNATS(err))
			}
		}),
		nats.ErrorHandler(func(c *nats.Conn, _ *nats.Subscription, err error) {
			if c.IsConnected() && news("error", err) { // otherwise err is the reason of a failed attempt, which is logged above
				log.Warn("nats error", "error", err)
			}
		}),
	}
	if cfg.Creds != "" {
		// This is checked here, because the connection itself would retry forever.
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
		if errors.As(err, new(*url.Error)) { // it contains the address with the password
			return nil, settingError{errors.New("nats.url is not a URL")}
		}
		return nil, fmt.Errorf("connect to NATS: %w", explainNATS(err))
	}
	opened.Store(conn)
	return conn, nil
}

// reconnectWait is the minimum time between two attempts to reconnect.
const reconnectWait = 250 * time.Millisecond

// ownCertificate returns our current certificate; it is empty if we have none.
func ownCertificate(current *config.Current[config.NATS]) nats.TLSCertHandler {
	return func() (tls.Certificate, error) {
		secure, err := current.Now().TLS.Client("")
		if err != nil || len(secure.Certificates) == 0 {
			return tls.Certificate{}, err
		}
		return secure.Certificates[0], nil
	}
}

// authorities returns the CAs that we currently trust; nil means the system's CAs.
func authorities(current *config.Current[config.NATS]) nats.RootCAsHandler {
	return func() (*x509.CertPool, error) {
		secure, err := current.Now().TLS.Client("")
		if err != nil {
			return nil, err
		}
		return secure.RootCAs, nil
	}
}

// ConnectNow works like ConnectNATS, for a command for which a person waits: it returns an established connection, or the reason of the
// failure. It retries until ctx ends, except when the server refuses us.
func ConnectNow(ctx context.Context, cfg config.NATS, name string, log *slog.Logger) (*nats.Conn, error) {
	cfg.Options = append(slices.Clone(cfg.Options), nats.RetryOnFailedConnect(false))
	reasons := &loggedReasons{}
	for {
		conn, err := ConnectNATS(cfg, name, log)
		if err == nil || refused(err) {
			return conn, err
		}
		if !reasons.repeated(err.Error()) {
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

// refused reports whether a retry with the same settings would fail in the same way.
func refused(err error) bool {
	var certificate *tls.CertificateVerificationError
	var unknown *net.DNSError
	return errors.As(err, &unknown) && unknown.IsNotFound || errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrSecureConnWanted) ||
		errors.As(err, &certificate) || errors.As(err, new(tls.AlertError)) || errors.As(err, new(settingError))
}

// settingError is the error of a setting that prevents every attempt to connect.
type settingError struct{ error }

func (e settingError) Unwrap() error { return e.error }

// explainNATS names the setting that is wrong when a connection is refused.
func explainNATS(err error) error {
	var unknown *net.DNSError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("nats.user and nats.password, or nats.creds, are refused: %w", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("nats.tls is set, but the server does not support TLS: %w", err)
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Errorf("the host name in nats.url does not resolve: check its spelling: %w", err)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("nothing listens at nats.url: is the server running, and is the port right? %w", err)
	case errors.Is(err, nats.ErrNoInfoReceived), errors.Is(err, nats.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no NATS server responds at nats.url: is the port right, and is the network open? %w", err)
	default:
		return config.Explain("nats.tls", err)
	}
}

// ExplainJetStream explains why a request to JetStream failed. A server that does not permit a request reports that on the
// connection and sends no response, so the request itself times out.
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

// noNATS returns the reason why there is no connection, if it is known.
func noNATS(conn *nats.Conn) error {
	if err := conn.LastError(); err != nil {
		return fmt.Errorf("%w: %w", errNoNATS, explainNATS(err))
	}
	return errNoNATS
}

// loggedReasons limits a repeated reason to one log line a minute.
type loggedReasons struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

const (
	logReasonEvery = time.Minute
	// mostReasons is the maximum number of remembered reasons, in case they differ each time.
	mostReasons = 16
)

// numbers may differ between attempts that fail for the same reason: for example, each attempt has its own port.
var numbers = regexp.MustCompile(`[0-9]+`)

// repeated reports whether the reason was logged within the last minute. If not, it counts as logged now.
func (l *loggedReasons) repeated(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	text = numbers.ReplaceAllString(text, "0")
	if at, found := l.logged[text]; found && time.Since(at) < logReasonEvery {
		return true
	}
	if len(l.logged) >= mostReasons || l.logged == nil {
		l.logged = map[string]time.Time{}
	}
	l.logged[text] = time.Now()
	return false
}

// over removes all reasons: the connection works again, so the next failure is logged.
func (l *loggedReasons) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logged = nil
}
