package tls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/certificates"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
)

const masterKey = "a master key of the tests of TLS, 32+ characters"

// limit is the maximum wait for what should happen within seconds.
const limit = 30 * time.Second

// replica is the listeners of one process, with their certificates from an ACME server.
type replica struct {
	acme    *certificates.ACME
	metrics *prometheus.Registry
	log     *servicetest.Logged
	secure  string // its addresses
	plain   string
	stop    func()
}

// newBroker starts a provisioned NATS server.
func newBroker(t *testing.T) (*realtest.Broker, jetstream.JetStream) {
	t.Helper()
	broker := realtest.NATS(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return broker, js
}

// start starts a replica behind the load balancers. It reads the bucket 20 times a second. With a balancer for plain HTTP, it responds to http-01
// challenges too.
func start(t *testing.T, js jetstream.JetStream, a *authority, secure, plain *balancer) *replica {
	t.Helper()
	r := &replica{metrics: prometheus.NewRegistry(), log: new(servicetest.Logged)}
	var err error
	r.acme, err = certificates.OpenACME(t.Context(), certificates.ACMEOptions{
		Settings: config.ACME{Domains: []string{domain}, Email: "ops@acme.example", DirectoryURL: a.Directory, CA: a.CA},
		Plain:    plain != nil, JS: js, Ring: keyring.New([]string{masterKey}),
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Metrics: r.metrics, LookEvery: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.metrics.MustRegister(certificates.Collector(r.acme))
	silent := log.New(io.Discard, "", 0)
	counted := func(string) {}
	public := &http.Server{
		TLSConfig: certificates.Config(r.acme), ErrorLog: silent, ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
	}
	beside := &http.Server{Handler: r.acme.Challenges(certificates.Plain{Counted: counted}, counted), ErrorLog: silent, ReadHeaderTimeout: 5 * time.Second}
	listeners := make([]net.Listener, 2)
	for i := range listeners {
		if listeners[i], err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r.secure, r.plain = listeners[0].Addr().String(), listeners[1].Addr().String()
	go func() { _ = public.ServeTLS(listeners[0], "", "") }()
	go func() { _ = beside.Serve(listeners[1]) }()
	secure.add(r.secure)
	if plain != nil {
		plain.add(r.plain)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	r.stop = sync.OnceFunc(func() {
		secure.remove(r.secure)
		if plain != nil {
			plain.remove(r.plain)
		}
		cancel()
		<-ended
		_ = public.Close()
		_ = beside.Close()
	})
	t.Cleanup(r.stop)
	go func() {
		defer close(ended)
		r.acme.Run(ctx)
	}()
	return r
}

// leaf returns the certificate that a client gets, which verifies it; nil if there is none.
func (r *replica) leaf(a *authority) *x509.Certificate {
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: a.Roots, ServerName: domain, MinVersion: tls.VersionTLS12}}).DialContext(context.Background(), "tcp", r.secure)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Two replicas behind a load balancer get one certificate with one order, by each kind of challenge. The validations come to both replicas,
// and only one of them began the order.
func TestReplicasShareOneCertificate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			_, js := newBroker(t)
			secure, plain := newBalancer(t), newBalancer(t)
			securePort := secure.Port
			if kind == "http-01" {
				securePort = closedPort(t)
			}
			a := newAuthority(t, plain.Port, securePort, 90*24*time.Hour)
			first, second := start(t, js, a, secure, plain), start(t, js, a, secure, plain)
			until(t, "both replicas have a certificate", func() bool { return first.leaf(a) != nil && second.leaf(a) != nil })
			if one, two := first.leaf(a), second.leaf(a); !one.Equal(two) {
				t.Errorf("the replicas have two certificates: %s and %s", one.SerialNumber, two.SerialNumber)
			}
			// autocert begins a second order when a challenge of the first one fails.
			if got, want := a.orders.Load(), map[string]int64{"tls-alpn-01": 1, "http-01": 2}[kind]; got != want {
				t.Errorf("%d orders, want %d", got, want)
			}
			if err := first.acme.Check(t.Context()); err != nil {
				t.Errorf("the check of readiness: %v", err)
			}
			// A restart uses the bucket.
			before := first.leaf(a)
			first.stop()
			second.stop()
			again := start(t, js, a, secure, nil)
			until(t, "the new replica has the certificate", func() bool { return again.leaf(a) != nil })
			if !again.leaf(a).Equal(before) || a.orders.Load() > 2 {
				t.Errorf("a restart ordered another certificate: %d orders", a.orders.Load())
			}
			atRest(t, js)
		})
	}
}

// atRest requires that no private key is readable in the bucket.
func atRest(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), flow.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for key := range keys.Keys() {
		e, err := kv.Get(t.Context(), key)
		if err != nil {
			continue
		}
		entries++
		if bytes.Contains(e.Value(), []byte("PRIVATE")) || bytes.Contains(e.Value(), []byte("CERTIFICATE")) {
			t.Errorf("%s is in clear", key)
		}
	}
	if entries < 2 { // the account and the certificate
		t.Errorf("only %d entries", entries)
	}
}

// A certificate is renewed after two thirds of its life, by one of the replicas, and every replica then uses the new one.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	_, js := newBroker(t)
	secure := newBalancer(t)
	a := newAuthority(t, closedPort(t), secure.Port, 18*time.Second) // so 6 s remain for the renewal, which takes one
	first, second := start(t, js, a, secure, nil), start(t, js, a, secure, nil)
	until(t, "a first certificate", func() bool { return first.leaf(a) != nil && second.leaf(a) != nil })
	old := first.leaf(a)
	until(t, "a second certificate", func() bool {
		one, two := first.leaf(a), second.leaf(a)
		if one == nil || two == nil {
			t.Fatalf("a client was refused %s before the end of the first certificate", time.Until(old.NotAfter))
		}
		return !one.Equal(old) && !two.Equal(old)
	})
	if left := time.Until(old.NotAfter); left <= 0 {
		t.Errorf("the certificate was renewed %s after its end", -left)
	}
	if got := a.orders.Load(); got != 2 {
		t.Errorf("%d orders, want 2", got)
	}
}

// While the ACME server is unavailable, the certificate stays in use. The check of readiness and the metric say that it was not renewed, and why. Another replica takes
// the work over when the one that did it has gone.
func TestACMEServerIsAway(t *testing.T) {
	t.Parallel()
	_, js := newBroker(t)
	secure := newBalancer(t)
	a := newAuthority(t, closedPort(t), secure.Port, 9*time.Second)
	first := start(t, js, a, secure, nil)
	until(t, "a first certificate", func() bool { return first.leaf(a) != nil })
	a.stop()
	var check error
	until(t, "the check of readiness fails", func() bool {
		check = first.acme.Check(t.Context())
		return check != nil
	})
	if first.leaf(a) == nil {
		t.Error("the certificate is not used any more")
	}
	for _, want := range []string{domain, "was not renewed", "unreachable"} {
		if !strings.Contains(check.Error(), want) {
			t.Errorf("the check says %q, without %q", check, want)
		}
	}
	if n := count(t, first.metrics, "signrelay_acme_problems_total", "unreachable"); n == 0 {
		t.Error("the metric has no problem")
	}
	a.start(t)
	second := start(t, js, a, secure, nil)
	first.stop()
	until(t, "the other replica renewed the certificate", func() bool { return second.acme.Check(t.Context()) == nil && second.leaf(a) != nil })
}

// count returns the value of a counter with this value of a label.
func count(t *testing.T, metrics *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// A validation that fails has its reason in the check of readiness, in the log and in the metric, and no handshake waits.
func TestFailedValidationSaysWhy(t *testing.T) {
	t.Parallel()
	_, js := newBroker(t)
	a := newAuthority(t, closedPort(t), closedPort(t), 90*24*time.Hour)
	r := start(t, js, a, newBalancer(t), newBalancer(t))
	until(t, "the attempt failed", func() bool { return strings.Contains(r.log.String(), "no certificate from the ACME server") })
	if err := r.acme.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no certificate for "+domain+" yet: connection: ") {
		t.Errorf("the check says %v", err)
	}
	for _, reason := range []string{"unauthorized", "connection"} { // pebble's for tls-alpn-01, and for http-01
		if n := count(t, r.metrics, "signrelay_acme_problems_total", reason); n != 1 {
			t.Errorf("%s is counted %v times, want 1", reason, n)
		}
	}
	if got := a.orders.Load(); got != 3 { // one more, for which no kind of challenge is left
		t.Errorf("%d orders, want 3", got)
	}
	began := time.Now()
	if r.leaf(a) != nil || time.Since(began) > 2*time.Second {
		t.Errorf("a handshake without a certificate took %s", time.Since(began))
	}
	for _, name := range []string{"other.acme.example", "sign.acme.example.evil.example"} {
		if _, err := r.acme.Get(&tls.ClientHelloInfo{ServerName: name}); err == nil {
			t.Errorf("%s has a certificate", name)
		}
	}
}
