package certificates

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

// ACME gets certificates from an ACME server with autocert, and shares them with all replicas through the bucket CERTIFICATES.
//
// Each replica reads the certificates and the responses to challenges from the bucket. Only the replica with the lease has an autocert.Manager for
// each domain, which orders the certificate and renews it after two thirds of its life, at the latest 30 days before its end. No handshake waits
// for the ACME server: autocert would order in a client's handshake.
type ACME struct {
	domains  []string
	bucket   *bucket
	lease    *lease
	answers  *autocert.Manager // responds to challenges from the bucket; it never orders
	problems *problems
	every    time.Duration
	newOrder func() *autocert.Manager
	log      *slog.Logger

	used atomic.Pointer[map[string]*tls.Certificate] // by domain; immutable

	mu     sync.Mutex
	orders map[string]*order // of the replica with the lease, by domain
}

// order is the state of one domain at the replica with the lease.
type order struct {
	manager *autocert.Manager // renews the certificate; nil until it was issued or found
	running bool
	failed  int // attempts in a row
	next    time.Time
}

// ACMEOptions are the parts that ACME needs.
type ACMEOptions struct {
	Settings config.ACME
	Plain    bool // there is a listener for plain HTTP, so http-01 challenges can be answered
	JS       jetstream.JetStream
	Ring     keyring.Ring
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	// LookEvery is the interval at which a replica reads the bucket; 0 means 10 s.
	LookEvery time.Duration
}

const (
	lookEvery = 10 * time.Second
	// leaseLooks is the length of the lease in intervals: a replica that misses five extensions loses it.
	leaseLooks = 6
)

// retryAfter is the delay after a failed attempt to get a first certificate, by the number of failures in a row. One attempt fails at most two
// validations, and Let's Encrypt allows five failed ones an hour for a name. autocert retries renewals by itself, after 30 to 60 minutes.
var retryAfter = []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour}

// retryUnreachable is the delay if the ACME server did not respond, so that no validation failed.
const retryUnreachable = time.Minute

// OpenACME reads the certificates that exist. Run orders the others.
func OpenACME(ctx context.Context, o ACMEOptions) (*ACME, error) {
	kv, err := o.JS.KeyValue(ctx, flow.Certificates)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", flow.Certificates, err)
	}
	secure, err := config.TLS{CA: o.Settings.CA}.Client("")
	if err != nil {
		return nil, fmt.Errorf("tls.acme.%w", err)
	}
	every := cmp.Or(o.LookEvery, lookEvery)
	a := &ACME{
		domains:  o.Settings.Domains,
		bucket:   newBucket(kv, o.Ring, o.Settings.DirectoryURL),
		problems: newProblems(o.Metrics, o.Log),
		every:    every,
		log:      o.Log,
		orders:   map[string]*order{},
	}
	a.lease = &lease{kv: kv, name: a.bucket.prefix + "lease", owner: rand.Text(), length: leaseLooks * every}
	a.used.Store(&map[string]*tls.Certificate{})
	a.answers = &autocert.Manager{Cache: a.bucket, HostPolicy: a.ours, Prompt: autocert.AcceptTOS}
	transport := &watched{
		base:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second},
		allowed:  a.lease.held,
		problems: a.problems,
	}
	a.newOrder = func() *autocert.Manager {
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: a.bucket, HostPolicy: a.ours, Email: o.Settings.Email,
			Client: &acme.Client{DirectoryURL: o.Settings.DirectoryURL, UserAgent: "signrelay", HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second}},
		}
		if o.Plain {
			m.HTTPHandler(nil) // it then tries http-01 after tls-alpn-01
		}
		return m
	}
	a.look(ctx)
	return a, nil
}

// ours is the host policy: it refuses a name that is not in the settings. The Host header of a request may have a port.
func (a *ACME) ours(_ context.Context, host string) error {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !slices.Contains(a.domains, strings.ToLower(strings.TrimSuffix(host, "."))) {
		return ErrUnknownName
	}
	return nil
}

// Challenges returns a handler that responds to http-01 challenges, and passes all other requests to next.
func (a *ACME) Challenges(next http.Handler, counted func(outcome string)) http.Handler {
	answers := a.answers.HTTPHandler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
			counted(Challenge)
		}
		answers.ServeHTTP(w, r)
	})
}

// Get implements Source.
func (a *ACME) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" { // a client that names no host gets the first name's certificate
		name = a.domains[0]
	}
	if !slices.Contains(a.domains, name) {
		return nil, ErrUnknownName
	}
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return a.answers.GetCertificate(hello)
	}
	if c := (*a.used.Load())[name]; c != nil {
		return c, nil
	}
	return nil, ErrNoCertificate
}

// Leaves implements Source.
func (a *ACME) Leaves() map[string]*x509.Certificate {
	leaves := map[string]*x509.Certificate{}
	for name, c := range *a.used.Load() {
		leaves[name] = c.Leaf
	}
	return leaves
}

// Run keeps the certificates up to date until ctx ends. Call it when the listeners are open, because the ACME server calls them.
func (a *ACME) Run(ctx context.Context) {
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	began := time.Now()
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		a.lease.release(limit) // which also ends the attempts
	}()
	for {
		try, cancel := context.WithTimeout(ctx, max(a.every, time.Second))
		if err := a.lease.take(try); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the certificates' bucket cannot be reached; the known certificates stay in use", "error", err)
		}
		a.look(try)
		cancel()
		if a.lease.held() {
			a.start(began)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look reads the certificates from the bucket. One that cannot be read does not replace the one in use, nor does an older one.
func (a *ACME) look(ctx context.Context) {
	used := *a.used.Load()
	next := maps.Clone(used)
	for _, domain := range a.domains {
		data, err := a.bucket.Get(ctx, domain)
		if err != nil {
			continue
		}
		pair, err := tls.X509KeyPair(data, data) // autocert stores both in one text
		if err != nil || pair.Leaf.VerifyHostname(domain) != nil {
			continue
		}
		if old := used[domain]; old == nil || pair.Leaf.NotAfter.After(old.Leaf.NotAfter) {
			next[domain] = &pair
			a.log.InfoContext(ctx, "new certificate in use", "domain", domain, "expires", pair.Leaf.NotAfter)
		}
	}
	a.used.Store(&next)
}

// start starts an attempt for each domain that has no manager yet and whose time has come. A first certificate is not requested before the second
// look: a balancer needs some seconds until it sends requests to a program that has just become ready, and the validation is one.
func (a *ACME) start(began time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, domain := range a.domains {
		o := a.orders[domain]
		if o == nil {
			o = new(order)
			a.orders[domain] = o
		}
		if o.manager != nil || o.running || time.Now().Before(o.next) {
			continue
		}
		if (*a.used.Load())[domain] == nil && time.Since(began) < a.every*9/10 {
			continue
		}
		o.running = true
		go a.attempt(domain, o)
	}
}

// attempt gets the domain's certificate from the bucket or from the ACME server. If it succeeds, autocert renews the certificate from then on.
func (a *ACME) attempt(domain string, o *order) {
	m := a.newOrder() // a manager remembers a failure for a minute, so each attempt has a new one
	_, err := m.GetCertificate(&tls.ClientHelloInfo{
		ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // so it gets an ECDSA key
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	o.running = false
	if err == nil {
		o.manager, o.failed = m, 0
		return
	}
	delay := retryAfter[min(o.failed, len(retryAfter)-1)]
	switch {
	case errors.Is(err, errNotAllowed): // another replica got the lease
		delay = 0
	case a.problems.unreachable():
		delay = retryUnreachable
	default:
		o.failed++
	}
	o.next = time.Now().Add(delay)
	if delay > 0 {
		a.log.Error("no certificate from the ACME server", "domain", domain, "error", err, "reason", a.problems.text(), "next_attempt_in", delay.String())
	}
}

// Check is a check of readiness: it fails if a domain has no valid certificate, or if its renewal is late by a quarter of the time that remained
// for it. The listeners keep serving what they have.
func (a *ACME) Check(context.Context) error {
	now := time.Now()
	var errs []error
	for _, domain := range a.domains {
		c := (*a.used.Load())[domain]
		switch {
		case c == nil:
			errs = append(errs, fmt.Errorf("no certificate for %s yet: %s", domain, a.problems.text()))
		case !validAt(c.Leaf, now):
			errs = append(errs, fmt.Errorf("the certificate of %s is not valid since %s: %s", domain, c.Leaf.NotAfter.UTC().Format(time.RFC3339), a.problems.text()))
		case c.Leaf.NotAfter.Sub(now) < renewBefore(c.Leaf)*3/4:
			errs = append(errs, fmt.Errorf("the certificate of %s ends at %s and was not renewed: %s", domain, c.Leaf.NotAfter.UTC().Format(time.RFC3339), a.problems.text()))
		}
	}
	return errors.Join(errs...)
}

// renewBefore is the time before the end of a certificate at which autocert renews it.
func renewBefore(c *x509.Certificate) time.Duration {
	return min(c.NotAfter.Sub(c.NotBefore)/3, 30*24*time.Hour)
}
