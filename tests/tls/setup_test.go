package tls_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A fresh set-up reaches its first callbacks with `source connect` and `source test` alone. Its settings have the accounts at the providers, a secret for
// each, and its own name. The ACME server issues the certificate, connect registers the public address, test looks for its own callback in the log,
// and then the providers call.
func TestFreshSetUpReachesItsFirstCallbacks(t *testing.T) {
	t.Parallel()
	secure := newBalancer(t)
	a := newAuthority(t, closedPort(t), secure.Port, 90*24*time.Hour)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, a.RootPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	e := testenv.StandaloneWith(t, func(e *testenv.Env) string {
		secure.add(e.Address("SIGNRELAY_INGEST_ADDR")) // of the one public listener
		smtpHost, smtpPort, _ := strings.Cut(e.Address("SIGNRELAY_SMTP_ADDR"), ":")
		return fmt.Sprintf(`
sources:
  - {name: demo, provider: pleasesign, region: AU, webhook: {secrets: [%[5]q]}, api: {base_url: %[1]q, key: demo-key, secret: demo-secret}}
  - {name: demo, provider: esign-v1, region: GB, webhook: {token: %[5]q}, api: {base_url: "%[1]s/api/v1", user: demo, secret: demo-secret}}
tls: {acme: {domains: [%[2]s], directory_url: %[6]q}}
ingest: {public_url: "https://%[2]s"}
shortener: {public_url: "https://%[2]s"}
sms: {vonage: {api_key: sandbox0, api_secret: sandbox-secret, from: "13175550100", base_url: %[1]q}}
email: {from: "Signrelay <no-reply@signrelay.example>", smtp: {host: %[3]q, port: %[4]s, tls: none}}
limits: {number_types: [mobile, unknown]}
`, e.SandboxURL, domain, smtpHost, smtpPort, "a secret of the set-up", a.Directory)
	}, "SIGNRELAY_TLS_ACME_CA="+a.CA, "SSL_CERT_FILE="+roots, "HTTPS_PROXY="+newNames(t, secure.Port))
	until(t, "the certificate is in use", func() bool {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: a.Roots, ServerName: domain, MinVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", e.Address("SIGNRELAY_INGEST_ADDR"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for _, provider := range []string{"pleasesign", "esign-v1"} {
		name, address := provider+"/demo", "https://"+domain+"/webhooks/"+provider+"/demo"
		tested := func() int {
			return e.Count(t, flow.Signing, event.DocumentsFilter("demo", provider, event.EndpointTested))
		}
		if out, err := e.Command(t, "source", "check", name); err == nil || !strings.Contains(out, "not registered") {
			t.Errorf("check before: %v\n%s", err, out)
		}
		out, err := e.Command(t, "source", "connect", name, "--reason=set-up", "--yes")
		if err != nil || !strings.Contains(out, "tested: "+address) || !strings.Contains(out, "Registered.") {
			t.Fatalf("connect: %v\n%s", err, out)
		}
		before := tested()
		if out, err := e.Command(t, "source", "test", name); err != nil || !strings.Contains(out, "the log had its event") {
			t.Fatalf("test: %v\n%s", err, out)
		}
		if n := tested(); before == 0 || n <= before {
			t.Errorf("%s: %d events of tests after connect, %d after test", name, before, n)
		}
		e.Play(t, provider, "one-signer")
		if n := e.Count(t, flow.Signing, event.DocumentsFilter("demo", provider, event.DocumentCompleted)); n != 1 {
			t.Errorf("%s: %d documents are complete, want 1", name, n)
		}
		if out, err := e.Command(t, "source", "check", name); err != nil || !strings.Contains(out, "ok     registered: ") {
			t.Errorf("check afterwards: %v\n%s", err, out)
		}
	}
	if got := a.orders.Load(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// newNames starts a proxy that connects each host of https to a port of this machine, as a DNS server would, and returns its address.
func newNames(t *testing.T, port int) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		to, err := new(net.Dialer).DialContext(r.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = to.Close() }()
		from, begun, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = from.Close() }()
		if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(to, begun)
			_ = to.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}
