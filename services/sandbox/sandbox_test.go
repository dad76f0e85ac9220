package sandbox_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox"
)

// world is a running sandbox and how tests speak to it.
type world struct {
	*sandbox.Server
	t *testing.T
}

// open starts a sandbox on free ports, with an ingest at that URL.
func open(t *testing.T, ingestURL string) world {
	t.Helper()
	server, err := sandbox.New(settings(ingestURL), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the sandbox ended with: %v", err)
		}
	})
	return world{server, t}
}

func settings(ingestURL string) config.Config {
	return config.Config{
		Sources: []config.Source{
			{
				Name: "au", Provider: "pleasesign",
				Webhook: config.Webhook{Secrets: []string{"test"}},
				API:     config.API{Token: "not-clickwraps", Key: "ps-key", Secret: "ps-secret"},
			},
			{
				Name: "demo", Provider: "clickwrap",
				Webhook: config.Webhook{Secrets: []string{"12345", "54321"}},
				API:     config.API{Token: "rest-token"},
			},
			{Name: "tokenless", Provider: "clickwrap"},
			{
				Name: "gb", Provider: "esign-v1",
				Webhook: config.Webhook{Token: "demo", Certificate: esignKey().certificate, Digest: "sha1"},
				API:     config.API{User: "me", Secret: "v1-secret", Group: "my-group"},
			},
			{Name: "second", Provider: "esign-v1", API: config.API{User: "other", Secret: "other-secret"}},
		},
		SMS: config.SMS{Vonage: config.Vonage{
			APIKey: "abcd1234", APISecret: "s3cret", SignatureSecret: "signing\nthe next", SignatureMethod: "sha256",
		}},
		Shortener: config.Shortener{
			Bitly:     config.Bitly{Token: "bitly-token", Domain: "acme.link", Group: "G1"},
			Rebrandly: config.Rebrandly{APIKey: "rb-key", Workspace: "W1", Domain: "go.acme.example"},
		},
		Sandbox: config.Sandbox{Addr: "127.0.0.1:0", SMTPAddr: "127.0.0.1:0", IngestURL: ingestURL, Key: esignKey().pem},
	}
}

// esignKey is the key that esign-v1 callbacks are signed with, and its certificate; made once, because it takes a while.
var esignKey = sync.OnceValue(func() (made struct{ pem, certificate string }) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "esign.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	made.pem = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	made.certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return made
})

func (w world) url(path string) string { return "http://" + w.HTTPAddr() + path }

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w world) do(method, path, body string, header http.Header) answer {
	w.t.Helper()
	a, err := w.try(w.t.Context(), method, path, body, header)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (w world) try(ctx context.Context, method, path, body string, header http.Header) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.url(path), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(path, "/api/") {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(read)}, err
}

func (w world) get(path string) answer        { w.t.Helper(); return w.do("GET", path, "", nil) }
func (w world) post(path, body string) answer { w.t.Helper(); return w.do("POST", path, body, nil) }
func (w world) received(query string) []message {
	w.t.Helper()
	return read[[]message](w.t, w.get("/api/messages"+query))
}
func (w world) fault(body string) { w.t.Helper(); wantStatus(w.t, w.post("/api/faults", body), 204) }
func (w world) sms(form url.Values) vonageAnswer {
	w.t.Helper()
	return read[vonageAnswer](w.t, w.postForm(form))
}
func (w world) postForm(form url.Values) answer {
	w.t.Helper()
	return w.do("POST", "/sms/json", form.Encode(), formHeader)
}

var formHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// message is what GET /api/messages tells, by its literal names.
type message struct {
	Channel    string    `json:"channel"`
	To         string    `json:"to"`
	From       string    `json:"from"`
	Subject    string    `json:"subject"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	Reference  string    `json:"reference"`
	ReceivedAt time.Time `json:"received_at"`
}

// read decodes a JSON answer.
func read[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("answer %d is not the JSON wanted: %v\n%s", a.status, err, a.body)
	}
	return v
}

func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
}

func wantProblem(t *testing.T, a answer, status int, detail string) {
	t.Helper()
	wantStatus(t, a, status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if p := read[struct{ Detail string }](t, a); !strings.Contains(p.Detail, detail) {
		t.Errorf("detail is %q, want it to tell %q", p.Detail, detail)
	}
}

func TestRunServesUntilToldToEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- sandbox.Run(ctx, service.Env{
			Config: settings("http://127.0.0.1:1"), Log: slog.New(slog.DiscardHandler), Up: func() { close(up) },
		})
	}()
	select {
	case <-up:
	case err := <-ended:
		t.Fatalf("ended before it was up: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with: %v", err)
	}
}

func TestAnAddressThatIsTakenIsToldAndNothingStaysOpen(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	cfg := settings("")
	cfg.Sandbox.SMTPAddr = w.SMTPAddr()
	if _, err := sandbox.New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "SMTP") {
		t.Errorf("error is %v, want one that names SMTP", err)
	}
}

func TestMessagesAreFilteredAndDeleted(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	if got := w.get("/api/messages"); got.body != "[]\n" {
		t.Fatalf("a fresh sandbox has received %s", got.body)
	}
	for _, to := range []string{"13175551234", "447700900123", "13175551234"} {
		w.sms(smsForm("to", to))
	}
	for query, want := range map[string]int{
		"":                             3,
		"?to=13175551234":              2,
		"?to=%2B13175551234":           2,
		"?to=+13175551234":             2, // an unescaped plus is a space
		"?to=1317555123":               0,
		"?channel=sms":                 3,
		"?channel=email":               0,
		"?channel=sms&to=447700900123": 1,
	} {
		if got := w.received(query); len(got) != want {
			t.Errorf("messages%s: %d, want %d", query, len(got), want)
		}
	}
	wantStatus(t, w.do("DELETE", "/api/messages", "", nil), 204)
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d messages are left", len(got))
	}
}

func TestAPageElsewhereCannotPlayOrDelete(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.sms(smsForm())
	foreign := http.Header{"Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}}
	wantStatus(t, w.do("DELETE", "/api/messages", "", foreign), 403)
	wantStatus(t, w.do("POST", "/api/play", `{}`, foreign), 403)
	if got := w.received(""); len(got) != 1 {
		t.Errorf("%d messages are left, want the one", len(got))
	}
	own := http.Header{"Origin": {"http://" + w.HTTPAddr()}, "Sec-Fetch-Site": {"same-origin"}}
	wantStatus(t, w.do("DELETE", "/api/messages", "", own), 204)
}

func TestABodyOverTheLimitIsNotRead(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	wantProblem(t, w.post("/api/play", `{"provider":"`+strings.Repeat("x", 64<<10)+`"}`), 400, "too large")
	wantStatus(t, w.postForm(smsForm("text", strings.Repeat("x", 64<<10))), 400)
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d messages were taken", len(got))
	}
}
