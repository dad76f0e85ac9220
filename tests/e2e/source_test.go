package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// world is an installation whose sources are not registered yet, behind a proxy that ends TLS.
type world struct {
	*testenv.Env

	proxy   *httptest.Server
	passed  atomic.Int64 // callbacks that came through the proxy
	refused atomic.Int64 // those of them that ingest refused
	vars    []string     // of the command
	secrets string       // the file with PleaseSign's secrets
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{secrets: filepath.Join(t.TempDir(), "pleasesign")}
	must(t, os.WriteFile(w.secrets, []byte("first-key\n"), 0o600))
	token := filepath.Join(t.TempDir(), "legal")
	must(t, os.WriteFile(token, []byte("first-token\n"), 0o600))
	w.Env = testenv.Infrastructure(t, func(e *testenv.Env) string {
		ingest, err := url.Parse(e.IngestURL)
		must(t, err)
		pass := httputil.NewSingleHostReverseProxy(ingest)
		pass.ModifyResponse = func(r *http.Response) error {
			w.passed.Add(1)
			if r.StatusCode/100 != 2 {
				w.refused.Add(1)
			}
			return nil
		}
		mux := http.NewServeMux()
		mux.Handle("/", pass)
		mux.HandleFunc("/moved/", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/", http.StatusMovedPermanently) })
		mux.HandleFunc("/other/", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<p>Welcome")) })
		w.proxy = httptest.NewTLSServer(mux)
		t.Cleanup(w.proxy.Close)
		return strings.NewReplacer(`webhook: {secrets: ["test"]},`, "", `webhook: {token: demo},`, "").Replace(testenv.SandboxSettings(e)) +
			"ingest: {public_url: " + w.proxy.URL + "}\n"
	})
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(trusted, certificate(w.proxy.Certificate()), 0o600))
	w.vars = []string{
		"SSL_CERT_FILE=" + trusted, "SIGNRELAY_SOURCE_PLEASESIGN_DEMO_WEBHOOK_SECRETS_FILE=" + w.secrets, "SIGNRELAY_SOURCE_ESIGN_V1_DEMO_WEBHOOK_TOKEN_FILE=" + token,
	}
	w.Vars = append(w.Vars, w.vars...)
	for _, name := range []string{"sandbox", "ingest"} {
		w.StartService(t, name, name)
	}
	return w
}

func certificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// source runs `signrelay source`.
func (w *world) source(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return w.CommandWith(t, w.vars, append([]string{"source"}, args...)...)
}

// From a source that is not registered to its first callback in the log, with connect and test alone.
func TestSourceIsConnected(t *testing.T) { //nolint:tparallel // the proxy counts the callbacks of one provider at a time
	t.Parallel()
	w := newWorld(t)
	for _, provider := range []string{"pleasesign", "esign-v1"} {
		t.Run(provider, func(t *testing.T) {
			name := provider + "/demo"
			if out, err := w.source(t, "check", name); err == nil || !strings.Contains(out, "not registered") || !strings.Contains(err.Error(), "source connect "+name) {
				t.Errorf("check before: %v\n%s", err, out)
			}
			out, err := w.source(t, "connect", name, "--reason=set-up", "--yes")
			if err != nil || !strings.Contains(out, "register") || !strings.Contains(out, "tested: "+w.proxy.URL+"/webhooks/"+name) || strings.Contains(out, "first-") {
				t.Fatalf("connect: %v\n%s", err, out)
			}
			if out, err := w.source(t, "check", name); err != nil || !strings.Contains(out, "ok     registered: ") || strings.Contains(out, "first-") {
				t.Errorf("check afterwards: %v\n%s", err, out)
			}
			if out, err := w.source(t, "test", name); err != nil || !strings.Contains(out, "the log had its event") {
				t.Errorf("test: %v\n%s", err, out)
			}
			if out, err := w.source(t, "connect", name, "--reason=again", "--yes"); err != nil || provider == "esign-v1" && !strings.Contains(out, "Nothing to change") {
				t.Errorf("connect again: %v\n%s", err, out)
			}
			before := w.passed.Load()
			w.Play(t, provider, "two-signers")
			if w.passed.Load() == before || w.refused.Load() > 0 {
				t.Errorf("%d callbacks came through the public address, %d were refused", w.passed.Load()-before, w.refused.Load())
			}
			if n := w.Count(t, flow.Signing, event.DocumentsFilter("demo", provider, event.DocumentCompleted)); n == 0 {
				t.Error("the log has no completed document")
			}
		})
	}
	if n := w.Count(t, flow.Signing, event.TypeFilter(event.OperatorActed)); n < 2 {
		t.Errorf("%d events of registrations", n)
	}
}

// A rotation under load: no callback is refused, and the old secret can only be removed after the provider's last retry.
func TestSecretIsRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out, err := w.source(t, "connect", "pleasesign/demo", "--reason=set-up", "--yes"); err != nil {
		t.Fatalf("connect: %v\n%s", err, out)
	}
	var load sync.WaitGroup
	stop := make(chan struct{})
	defer load.Wait()
	defer close(stop)
	load.Go(func() { // ingest reads its files at once, instead of every 5 s
		before, _ := os.ReadFile(w.secrets)
		for {
			now, _ := os.ReadFile(w.secrets)
			if string(now) != string(before) {
				_ = syscall.Kill(w.Processes["ingest"].PID(), syscall.SIGHUP)
				before = now
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	var played atomic.Int64
	load.Go(func() {
		for {
			w.Play(t, "pleasesign", "two-signers")
			played.Add(1)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	out, err := w.source(t, "connect", "pleasesign/demo", "--rotate", "--wait=1s", "--reason=rotation", "--yes")
	if err != nil || !strings.Contains(out, "webhook.secrets[1]") {
		t.Fatalf("rotate: %v\n%s", err, out)
	}
	now := played.Load()
	w.Until(t, "stories are signed with the new secret", func() bool { return played.Load() >= now+2 })
	if w.refused.Load() > 0 {
		t.Errorf("%d of %d callbacks were refused", w.refused.Load(), w.passed.Load())
	}
	secrets, err := os.ReadFile(w.secrets)
	if lines := strings.Fields(string(secrets)); err != nil || len(lines) != 2 || lines[0] != "first-key" || len(lines[1]) != 64 || strings.Contains(out, lines[1]) {
		t.Errorf("the file of the secrets: %v %d lines", err, len(lines))
	}
	out, err = w.source(t, "check", "pleasesign/demo")
	if err != nil || !strings.Contains(out, "webhook.secrets[0]: keep it until ") || !strings.Contains(out, "webhook.secrets[1] (sha256:") {
		t.Errorf("check: %v\n%s", err, out)
	}
	if out, err = w.source(t, "connect", "pleasesign/demo", "--remove-old", "--reason=rotation", "--yes"); err == nil || !strings.Contains(err.Error(), "may repeat a callback") {
		t.Errorf("remove-old: %v\n%s", err, out)
	}
}

// Each wrong use says what is wrong, and registers nothing.
func TestSourceCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := []string{"--reason=test", "--yes"}
	waits := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate
	waits.Listener = tls.NewListener(waits.Listener, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none yet") },
	})
	waits.Config.ErrorLog = log.New(io.Discard, "", 0)
	waits.Start()
	t.Cleanup(waits.Close)
	for name, c := range map[string]struct {
		args []string
		vars []string
		want string
	}{
		"no such source":         {[]string{"connect", "pleasesign/nobody"}, nil, `no source "pleasesign/nobody"`},
		"no provider":            {[]string{"connect", "demo"}, nil, "want <provider>/<source>"},
		"no URL":                 {[]string{"test", "--ingest.public_url=", "pleasesign/demo"}, nil, "set ingest.public_url"},
		"no URL of a host":       {[]string{"test", "pleasesign/demo", "--url=ftp://x"}, nil, "not an https URL"},
		"plain HTTP":             {[]string{"connect", "pleasesign/demo", "--untested", "--url=http://sign.acme.example"}, nil, "pleasesign says: Invalid endpoint address."},
		"a redirect":             {[]string{"connect", "pleasesign/demo", "--url=" + w.proxy.URL + "/moved"}, nil, "counts as a failure"},
		"another system":         {[]string{"connect", "pleasesign/demo", "--url=" + w.proxy.URL + "/other"}, nil, "another system answers"},
		"another path":           {[]string{"connect", "esign-v1/demo", "--url=" + w.proxy.URL + "/nowhere"}, nil, "404"},
		"unknown authority":      {[]string{"test", "pleasesign/demo"}, []string{"SSL_CERT_FILE=/dev/null"}, "no known authority"},
		"another name":           {[]string{"test", "pleasesign/demo", "--url=" + strings.Replace(w.proxy.URL, "127.0.0.1", "localhost", 1)}, nil, "for other names"},
		"no certificate yet":     {[]string{"test", "pleasesign/demo", "--url=" + strings.Replace(waits.URL, "http://", "https://", 1)}, nil, "no certificate for this name yet"},
		"nothing listens":        {[]string{"test", "pleasesign/demo", "--url=https://127.0.0.1:1"}, nil, "refused"},
		"another secret":         {[]string{"test", "pleasesign/demo"}, []string{"SIGNRELAY_SOURCE_PLEASESIGN_DEMO_WEBHOOK_SECRETS_FILE=", "SIGNRELAY_SOURCE_PLEASESIGN_DEMO_WEBHOOK_SECRETS=x"}, "does not accept the secret"},
		"other credentials":      {[]string{"connect", "esign-v1/demo"}, []string{"SIGNRELAY_SOURCE_ESIGN_V1_DEMO_API_SECRET=x"}, "Unauthorized"},
		"nothing was registered": {[]string{"connect", "pleasesign/demo", "--remove-old"}, nil, "the last secret is not registered"},
		"secrets without a file": {[]string{"connect", "clickwrap/demo", "--rotate"}, nil, "does not come from a file"},
		"no reason":              {[]string{"connect", "esign-v1/demo", "--reason="}, nil, "--reason is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"source"}, c.args...)
			if c.args[0] == "connect" {
				args = append(append(append([]string{"source", "connect"}, order...), c.args[2:]...), c.args[1])
			}
			out, err := w.CommandWith(t, append(w.vars[:len(w.vars):len(w.vars)], c.vars...), args...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(out+err.Error(), "first-") {
				t.Errorf("%s: %v\n%s", args, err, out)
			}
		})
	}
	t.Run("a provider without an API", func(t *testing.T) {
		t.Parallel()
		out, err := w.source(t, "connect", "clickwrap/demo")
		if err != nil || !strings.Contains(out, "Secret code") || strings.Contains(out, "12345") || !strings.Contains(out, w.proxy.URL+"/webhooks/clickwrap/demo") {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err = w.source(t, "connect", "--show-secret", "clickwrap/demo"); err != nil || !strings.Contains(out, "12345") {
			t.Errorf("with --show-secret: %v\n%s", err, out)
		}
		if out, err = w.source(t, "test", "clickwrap/demo"); err != nil {
			t.Errorf("test: %v\n%s", err, out)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
