package tls_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// callback is a callback of Clickwrap for the source demo.
const callback = `{"event_type":"request_sent","request":"596f858584281715b3493d0c","activity":"5a26bbf9e623117c2a6eed1b",
	"created_time":"2017-07-19T16:15:28.509Z","id":"596f85a084281715b349513f"}`

// Two replicas of ingest, and the shortener, get one certificate together. Callbacks arrive by https, links are redirected to it, and a callback over
// plain HTTP is refused.
func TestProgramsGetOneCertificate(t *testing.T) {
	t.Parallel()
	secure, plain := newBalancer(t), newBalancer(t)
	a := newAuthority(t, plain.Port, secure.Port, 90*24*time.Hour)
	e := testenv.Infrastructure(t, func(e *testenv.Env) string {
		return strings.Replace(testenv.SandboxSettings(e), `public_url: "http://`, `public_url: "https://`, 1)
	})
	e.Vars = []string{"SIGNRELAY_TLS_ACME_DOMAINS=" + domain, "SIGNRELAY_TLS_ACME_DIRECTORY_URL=" + a.Directory, "SIGNRELAY_TLS_ACME_CA=" + a.CA}
	addresses := []string{e.Address("SIGNRELAY_INGEST_ADDR"), testenv.FreeAddress(t), e.Address("SIGNRELAY_LINKS_ADDR")}
	redirect := testenv.FreeAddress(t)
	plain.add(redirect)
	e.StartService(t, "ingest", "ingest")
	secure.add(addresses[0])
	e.StartService(t, "ingest", "ingest-2", "SIGNRELAY_INGEST_ADDR="+addresses[1])
	secure.add(addresses[1])
	e.StartService(t, "shortener", "shortener", "SIGNRELAY_TLS_REDIRECT_ADDR="+redirect)

	client := func(addr string, newest uint16) *http.Client {
		return &http.Client{Timeout: limit, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12, MaxVersion: newest}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		}}
	}
	send := func(c *http.Client, base string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/webhooks/clickwrap/demo", strings.NewReader(callback))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Pactsafe-Webhook-Token", "12345")
		response, err := c.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, response.Proto + " " + string(body)
	}
	for _, addr := range addresses {
		until(t, "the certificate is in use at "+addr, func() bool {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+domain+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client(addr, 0).Do(r)
			if err == nil {
				_ = response.Body.Close()
			}
			return err == nil
		})
	}
	status, body := send(&http.Client{Timeout: limit}, "http://"+redirect)
	if status != http.StatusForbidden || !strings.Contains(body, "https only") {
		t.Errorf("a callback over plain HTTP: %d %s", status, body)
	}
	if status, body := send(client(addresses[0], tls.VersionTLS12), "https://"+domain); status != http.StatusAccepted || !strings.HasPrefix(body, "HTTP/2.0") {
		t.Errorf("a callback with TLS 1.2: %d %s", status, body)
	}
	if status, body := send(client(addresses[1], tls.VersionTLS13), "https://"+domain); status != http.StatusOK || !strings.Contains(body, "duplicate") {
		t.Errorf("the same callback with TLS 1.3: %d %s", status, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+redirect+"/l/abc", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if want := "https://" + addresses[2] + "/l/abc"; response.StatusCode != http.StatusPermanentRedirect || response.Header.Get("Location") != want {
		t.Errorf("a link over plain HTTP: %d %q, want %q", response.StatusCode, response.Header.Get("Location"), want)
	}
	if got := a.orders.Load(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
	for name, p := range e.Processes {
		if strings.Contains(p.Output(), "PRIVATE") {
			t.Errorf("a key is in the log of %s", name)
		}
	}
}
