package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// secureHost is a host with callbacks and links on one listener, whose certificate is in files.
type secureHost struct {
	*testHost

	addresses   Addresses
	certificate string // the files
	key         string
	roots       *x509.CertPool
	authority   *realtest.Authority
}

func openSecure(t *testing.T) *secureHost {
	t.Helper()
	s := &secureHost{authority: realtest.NewAuthority(t), roots: x509.NewCertPool()}
	s.roots.AppendCertsFromPEM([]byte(s.authority.PEM))
	dir := t.TempDir()
	s.certificate, s.key = filepath.Join(dir, "certificate"), filepath.Join(dir, "key")
	s.write(t)
	cfg, _, err := config.Load([]config.Declared{ingestsettings.Section, shortenersettings.Section}, nil, []string{
		"SIGNRELAY_TLS_CERTIFICATE_FILE=" + s.certificate, "SIGNRELAY_TLS_KEY_FILE=" + s.key,
		"SIGNRELAY_TLS_REDIRECT_ADDR=127.0.0.1:0", "SIGNRELAY_INGEST_ADDR=127.0.0.1:0", "SIGNRELAY_SHORTENER_PUBLIC_URL=https://sign.acme.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Admin.Addr = freeAddr(t)
	serving := func(name, path, https string) Service {
		return Service{
			Name: name, Listeners: []Listener{{Name: "http", Key: "ingest.addr", Path: path, HTTPS: https}},
			Run: func(ctx context.Context, env Env) error {
				env.Public.HandleFunc(path+"/{code}", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(w, r.Body)
					_, _ = io.WriteString(w, r.Proto)
				})
				env.Up()
				<-ctx.Done()
				return ctx.Err()
			},
		}
	}
	s.testHost = openHost(t, Host{
		Config: cfg, Services: []Service{serving("ingest", "/webhooks", ""), serving("shortener", "/l", "shortener.public_url")}, rereadEvery: 5 * time.Millisecond,
	})
	s.addresses = s.opened()
	return s
}

// write replaces the certificate and its key.
func (s *secureHost) write(t *testing.T) {
	t.Helper()
	certificate, key := s.authority.Issue("sign.acme.example")
	s.replace(t, s.certificate, certificate)
	s.replace(t, s.key, key)
}

// replace writes a file as certbot does: in one step.
func (*secureHost) replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (s *secureHost) client(change func(*tls.Config)) *http.Client {
	secure := &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS10}
	if change != nil {
		change(secure)
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: secure.NextProtos == nil, DisableKeepAlives: true}, Timeout: waitLimit,
	}
}

func (s *secureHost) url(path string) string {
	return "https://" + s.addresses.Public["ingest"].String() + path
}

// until waits until a metric is in /metrics.
func (h *testHost) until(metric string) {
	h.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for time.Now().Before(deadline) {
		if _, body, err := get(h.admin + "/metrics"); err == nil && strings.Contains(body, metric) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	_, body, _ := get(h.admin + "/metrics")
	h.t.Fatalf("no %s in\n%s", metric, body)
}

func TestPublicListenersUseTLS(t *testing.T) {
	t.Parallel()
	s := openSecure(t)
	for name, c := range map[string]struct {
		change func(*tls.Config)
		proto  string
		want   uint16
	}{
		"a client of today": {nil, "HTTP/2.0", tls.VersionTLS13},
		"a client that speaks TLS 1.2 only, and HTTP/1.1": {func(c *tls.Config) { c.MaxVersion, c.NextProtos = tls.VersionTLS12, []string{"http/1.1"} }, "HTTP/1.1", tls.VersionTLS12},
		"TLS 1.2 and HTTP/2":                              {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "HTTP/2.0", tls.VersionTLS12},
	} {
		response, err := s.client(c.change).Post(s.url("/webhooks/x"), "text/plain", strings.NewReader(strings.Repeat("a", 100_000)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != strings.Repeat("a", 100_000)+c.proto || response.TLS.Version != c.want {
			t.Errorf("%s: %d bytes that end in %q, %v, version %x", name, len(body), body[max(0, len(body)-9):], err, response.TLS.Version)
		}
	}
	for reason, change := range map[string]func(*tls.Config){
		"version": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 },
		"cipher": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
		"certificate-refused": func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
	} {
		if response, err := s.client(change).Get(s.url("/webhooks/x")); err == nil {
			_ = response.Body.Close()
			t.Errorf("%s: the client got status %d", reason, response.StatusCode)
		}
		s.until(fmt.Sprintf("signrelay_tls_handshake_failures_total{reason=%q,service=\"ingest\"} 1", reason))
	}
	// Plain HTTP at the port of TLS.
	status, body, err := get("http://" + s.addresses.Public["ingest"].String() + "/webhooks/x")
	if err != nil || status != http.StatusBadRequest || !strings.Contains(body, "HTTPS") {
		t.Errorf("plain HTTP: %d %q %v", status, body, err)
	}
	s.until(`signrelay_tls_handshake_failures_total{reason="plain-http",service="ingest"} 1`)
	s.until(`signrelay_certificate_expires_timestamp_seconds{component="signrelay",domain="sign.acme.example"}`)
	if log := s.log.String(); strings.Contains(log, "127.0.0.1:"+port(t, s.addresses.Public["ingest"])+": ") {
		t.Error("a client's address is in the log")
	}
}

func port(t *testing.T, addr net.Addr) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Only links are redirected to https. A callback is refused with a text that says why, because a redirect would lose its body or repeat its token.
func TestPlainHTTPIsRedirectedForLinksOnly(t *testing.T) {
	t.Parallel()
	s := openSecure(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", "/l/abc", 308, "https://sign.acme.example/l/abc"},
		{"HEAD", "/l/abc?utm=1", 308, "https://sign.acme.example/l/abc?utm=1"},
		{"GET", "/l/abc%22", 308, "https://sign.acme.example/l/abc%22"},
		{"POST", "/l/abc", 403, ""},
		{"POST", "/webhooks/pleasesign/acme", 403, ""},
		{"GET", "/webhooks/clickwrap/acme?token=secret", 403, ""},
		{"GET", "/receipts/vonage/acme", 403, ""},
		{"GET", "/", 403, ""},
		{"GET", "//evil.example/l/abc", 403, ""},
		{"GET", "/.well-known/acme-challenge/x", 403, ""}, // there is no ACME server
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.addresses.Plain.String()+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		response, err := client.Do(r)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != c.status || response.Header.Get("Location") != c.location {
			t.Errorf("%s %s: %d, Location %q", c.method, c.path, response.StatusCode, response.Header.Get("Location"))
		}
		if c.status == 403 && (!strings.Contains(string(body), "https only") || strings.Contains(string(body), "evil")) {
			t.Errorf("%s %s: %q", c.method, c.path, body)
		}
	}
	s.until(`signrelay_plain_http_requests_total{outcome="redirected",service="signrelay"} 3`)
	s.until(`signrelay_plain_http_requests_total{outcome="refused",service="signrelay"} 7`)
}

// Certificates are replaced while clients connect, and no handshake fails. A key of another certificate leaves the old pair in use.
func TestCertificateFilesAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	s := openSecure(t)
	serial := func() string {
		conn, err := tls.Dial("tcp", s.addresses.Public["ingest"].String(), &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Errorf("a handshake failed: %v", err)
			return ""
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := serial()
				mu.Lock()
				seen[n]++
				mu.Unlock()
			}
		})
	}
	changed := func(from string) string {
		deadline := time.Now().Add(waitLimit)
		for time.Now().Before(deadline) {
			if now := serial(); now != from {
				return now
			}
			<-time.After(5 * time.Millisecond)
		}
		t.Fatal("the new certificate is not in use")
		return ""
	}
	last := serial()
	for range 5 {
		s.write(t)
		last = changed(last)
	}
	_, other := s.authority.Issue("sign.acme.example")
	s.replace(t, s.key, other)
	s.until(`signrelay_config_reloads_total{outcome="refused"}`)
	deadline := time.Now().Add(waitLimit)
	for !strings.Contains(s.log.String(), "it is not the key of the first certificate in tls.certificate") && time.Now().Before(deadline) {
		<-time.After(5 * time.Millisecond)
	}
	if now := serial(); now != last || !strings.Contains(s.log.String(), "the old ones stay") {
		t.Errorf("after a wrong key: %s, not %s; log:\n%s", now, last, s.log)
	}
	if strings.Contains(s.log.String(), "PRIVATE") {
		t.Error("a key is in the log")
	}
	close(stop)
	clients.Wait()
	if len(seen) < 6 {
		t.Errorf("clients saw %d certificates, want 6: %v", len(seen), seen)
	}
}
