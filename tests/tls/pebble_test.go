// Package tls_test gets certificates for the public listeners from pebble, the ACME server for tests of Let's Encrypt.
package tls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// domain is the name of the listeners. The DNS server of the tests says that each name is this machine.
const domain = "sign.acme.example"

func TestMain(m *testing.M) {
	// pebble reads these at its start. It validates at once, each order needs a validation, and no good nonce is refused: the client would wait for
	// seconds before it repeats the request.
	for name, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	testenv.Cleanup()
	os.Exit(code)
}

// authority is a running pebble.
type authority struct {
	Directory string
	CA        string         // PEM: its own certificate is of this authority
	RootPEM   []byte         // of the certificates that it issues
	Roots     *x509.CertPool // of the certificates that it issues

	orders  atomic.Int64 // that it accepted
	handler http.Handler
	secure  *tls.Config
	addr    string
	mu      sync.Mutex
	server  *http.Server
}

// newAuthority starts pebble. It validates domains at these ports, and its certificates are valid for this time.
func newAuthority(t *testing.T, plainPort, securePort int, valid time.Duration) *authority {
	t.Helper()
	realtest.Server(t, "pebble")
	silent := log.New(io.Discard, "", 0)
	names := testenv.FreeAddress(t)
	dns, err := challtestsrv.New(challtestsrv.Config{Log: silent, DNSAddrs: []string{names}})
	if err != nil {
		t.Fatal(err)
	}
	dns.SetDefaultDNSIPv4("127.0.0.1")
	dns.SetDefaultDNSIPv6("")
	dns.Run()
	t.Cleanup(dns.Shutdown)
	store := db.NewMemoryStore()
	issuer := ca.New(silent, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(valid / time.Second)}})
	validator := va.New(silent, plainPort, securePort, false, names, store)
	front := wfe.New(silent, store, validator, issuer, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)

	own := realtest.NewAuthority(t)
	a := &authority{CA: own.PEM, Roots: x509.NewCertPool(), secure: own.Server(false), addr: testenv.FreeAddress(t)}
	a.Roots.AddCert(issuer.GetRootCert(0).Cert)
	a.RootPEM = issuer.GetRootCert(0).PEM()
	a.Directory = "https://" + a.addr + wfe.DirectoryPath
	served := front.Handler()
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" && r.Method == http.MethodPost {
			w = &created{w, &a.orders}
		}
		served.ServeHTTP(w, r)
	})
	a.start(t)
	t.Cleanup(a.stop)
	return a
}

// created counts the orders that pebble accepts.
type created struct {
	http.ResponseWriter

	orders *atomic.Int64
}

func (c *created) WriteHeader(status int) {
	if status == http.StatusCreated {
		c.orders.Add(1)
	}
	c.ResponseWriter.WriteHeader(status)
}

func (a *authority) start(t *testing.T) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	server := &http.Server{Handler: a.handler, TLSConfig: a.secure, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 5 * time.Second}
	a.server = server
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
}

// stop makes pebble unreachable, with what it knows; start makes it reachable again.
func (a *authority) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
		a.server = nil
	}
}

// balancer is a TCP load balancer. Each connection goes to the next of the replicas, so that the replica that began an order rarely gets the
// validation of it.
type balancer struct {
	Port int

	mu   sync.Mutex
	to   []string
	next int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", testenv.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	b := &balancer{}
	b.Port, _ = strconv.Atoi(port)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.forward(conn)
		}
	}()
	return b
}

// add adds a replica; remove removes it.
func (b *balancer) add(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = append(b.to, addr)
}

func (b *balancer) remove(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = slices.DeleteFunc(b.to, func(other string) bool { return other == addr })
}

func (b *balancer) forward(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	b.mu.Lock()
	if len(b.to) == 0 {
		b.mu.Unlock()
		return
	}
	to := b.to[b.next%len(b.to)]
	b.next++
	b.mu.Unlock()
	replica, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = replica.Close() }()
	go func() {
		_, _ = io.Copy(replica, conn)
		_ = replica.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, replica)
}

// closedPort is a port at which nothing listens.
func closedPort(t *testing.T) int {
	t.Helper()
	_, port, err := net.SplitHostPort(testenv.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
