package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/certificates"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
)

// secured is the TLS of the public listeners of a host. nil stands for plain HTTP.
type secured struct {
	config *tls.Config
	acme   *certificates.ACME // nil with a certificate from files

	failed *prometheus.CounterVec
	plain  *prometheus.CounterVec
}

// secure opens the certificates, if the settings have TLS and a service has a public listener.
func (h Host) secure(ctx context.Context, p *parts, live *config.Live, health *Health, metrics prometheus.Registerer) (*secured, error) {
	settings := h.Config.TLS
	if !settings.Set() || !h.any(func(s Service) bool { _, public := s.Public(); return public }) {
		return nil, nil
	}
	s := &secured{failed: failedHandshakes(metrics), plain: plainRequests(metrics)}
	own := prometheus.WrapRegistererWith(prometheus.Labels{"component": h.name()}, metrics)
	var source certificates.Source
	if settings.ACME.Set() {
		if p.js == nil {
			return nil, errors.New("tls.acme: it needs NATS, where the replicas share the certificates")
		}
		var err error
		if s.acme, err = certificates.OpenACME(ctx, certificates.ACMEOptions{
			Settings: settings.ACME, Plain: settings.RedirectAddr != "", JS: p.js, Ring: keyring.New(h.Config.MasterKeys()),
			Log: h.Log, Metrics: own, LookEvery: h.lookEvery,
		}); err != nil {
			return nil, err
		}
		// Soft: the ACME server reaches only a listener that gets requests, and callbacks must not stop because a renewal fails.
		health.AddSoft("acme", s.acme.Check)
		source = s.acme
	} else {
		files, err := certificates.NewFiles(live, h.Log)
		if err != nil {
			return nil, err
		}
		source = files
	}
	own.MustRegister(certificates.Collector(source))
	s.config = certificates.Config(source)
	return s, nil
}

// run keeps the certificates of an ACME server up to date until ctx ends.
func (s *secured) run(ctx context.Context) {
	if s != nil && s.acme != nil {
		s.acme.Run(ctx)
	}
}

// openPlain opens the listener for plain HTTP beside the public listeners, or none if the settings have no address for it.
func (h Host) openPlain(s *secured, r *running, health *Health, failed chan<- error) (*httpServer, error) {
	addr := h.Config.TLS.RedirectAddr
	if s == nil || addr == "" {
		return nil, nil
	}
	name := h.name()
	for _, outcome := range []string{certificates.Redirected, certificates.Refused, certificates.Challenge} {
		s.plain.WithLabelValues(name, outcome) // Prometheus misses a counter that first appears as 1
	}
	counted := func(outcome string) { s.plain.WithLabelValues(name, outcome).Inc() }
	plain := certificates.Plain{Redirects: map[string]string{}, Counted: counted}
	for _, of := range h.Services {
		if l, public := of.Public(); public && l.HTTPS != "" {
			if base := h.Config.Text(l.HTTPS); strings.HasPrefix(base, "https://") {
				plain.Redirects[l.Path+"/"] = base
			}
		}
	}
	var handler http.Handler = plain
	if s.acme != nil {
		handler = s.acme.Challenges(plain, counted)
	}
	server, err := openPublic(addr, lastOfConnection(health, handler), r.dropped.WithLabelValues(name).Inc, h.Log, failed, nil)
	if err != nil {
		return nil, fmt.Errorf("listener for plain HTTP (tls.redirect_addr): %w", err)
	}
	h.Log.Info("listener for plain HTTP is open", "addr", server.listener.Addr().String())
	return server, nil
}

// onTLS is the TLS of one listener.
type onTLS struct {
	config *tls.Config
	failed func(reason string)
}

// of returns the TLS of the listener of a service.
func (s *secured) of(service string) *onTLS {
	if s == nil {
		return nil
	}
	for _, f := range handshakeFailures {
		s.failed.WithLabelValues(service, f.reason)
	}
	s.failed.WithLabelValues(service, otherFailure)
	return &onTLS{s.config, func(reason string) { s.failed.WithLabelValues(service, reason).Inc() }}
}

// apply makes a server that is served with ServeTLS count and log failed handshakes.
func (t *onTLS) apply(server *http.Server, to *slog.Logger) {
	server.TLSConfig = t.config
	// A client may have this number of requests at once in a connection of HTTP/2; the library's default is 250. Until they are verified, all of them
	// count for the one connection.
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 64}
	server.ErrorLog = log.New(&serverErrors{t.failed, to}, "", 0)
}

// serverErrors receives the lines that net/http logs. It is the only place where net/http reports a failed handshake.
type serverErrors struct {
	failed func(reason string)
	log    *slog.Logger
}

// handshakeFailures are the reasons of failed handshakes, and the texts of net/http and crypto/tls by which they are known. The first that fits
// counts.
var handshakeFailures = []struct {
	reason string
	texts  []string
}{
	{"plain-http", []string{"client sent an HTTP request to an HTTPS server"}},
	{"not-tls", []string{"does not look like a TLS handshake"}},
	{"unknown-name", []string{certificates.ErrUnknownName.Error()}},
	{"no-certificate", []string{certificates.ErrNoCertificate.Error()}},
	{"certificate-refused", []string{"bad certificate", "unknown certificate", "certificate expired", "certificate required", "expired certificate", "unknown authority"}},
	{"version", []string{"unsupported versions", "protocol version"}},
	{"cipher", []string{"no cipher suite supported", "insufficient security"}},
	{"timeout", []string{"i/o timeout", SlowError{}.Error()}},
	{"closed", []string{"EOF", "connection reset", "broken pipe", "use of closed", "user canceled"}},
}

const otherFailure = "other"

// Write implements io.Writer: p is one line.
func (e *serverErrors) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	rest, ok := strings.CutPrefix(line, "http: TLS handshake error from ")
	if !ok {
		e.log.Debug("http server", "text", line)
		return len(p), nil
	}
	_, text, _ := strings.Cut(rest, ": ") // after the client's address
	reason := handshakeFailure(text)
	e.failed(reason)
	e.log.Debug("TLS handshake failed", "reason", reason, "error", text)
	return len(p), nil
}

func handshakeFailure(text string) string {
	for _, f := range handshakeFailures {
		for _, known := range f.texts {
			if strings.Contains(text, known) {
				return f.reason
			}
		}
	}
	return otherFailure
}

func failedHandshakes(r prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_tls_handshake_failures_total",
		Help: "Connections to a service's public listener whose TLS handshake failed, by reason.",
	}, []string{"service", "reason"})
	r.MustRegister(counter)
	return counter
}

func plainRequests(r prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_plain_http_requests_total",
		Help: "Requests to the listener for plain HTTP: redirected to https, refused, or a challenge of the ACME server.",
	}, []string{"service", "outcome"})
	r.MustRegister(counter)
	return counter
}
