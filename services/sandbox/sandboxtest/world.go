// Package sandboxtest runs a sandbox for tests, and contains the conformance suite of its parties.
package sandboxtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/services/sandbox"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// World is a running sandbox with methods to call it.
type World struct {
	*sandbox.Server
	T *testing.T
}

// Open starts a sandbox on free ports, with ingest at that URL.
func Open(t *testing.T, ingestURL string) World {
	t.Helper()
	return OddWorld(t, ingestURL, 0, 0)
}

// OddWorld works like Open, with that percentage of oddities.
func OddWorld(t *testing.T, ingestURL string, percent, seed int) World {
	t.Helper()
	cfg := Settings(ingestURL)
	sandboxed := sandboxsettings.Section.In(&cfg)
	sandboxed.Odd, sandboxed.OddSeed = percent, seed
	return open(t, cfg, sandbox.Clock{Now: time.Now, Jump: func(context.Context, time.Duration) error { return nil }})
}

// Clocked works like Open, with that clock.
func Clocked(t *testing.T, ingestURL string, now func() time.Time) World {
	t.Helper()
	return open(t, Settings(ingestURL), sandbox.Clock{Now: now})
}

// Alone works like Open, with a sandbox that cannot move the clock of the services.
func Alone(t *testing.T, ingestURL string) World {
	t.Helper()
	return open(t, Settings(ingestURL), sandbox.Clock{Now: time.Now})
}

func open(t *testing.T, cfg config.Config, clock sandbox.Clock) World {
	t.Helper()
	server, err := sandbox.New(cfg, slog.New(slog.DiscardHandler), clock)
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
	return World{server, t}
}

// Settings returns settings with a source of each provider and an account of each other party.
func Settings(ingestURL string) config.Config {
	cfg := config.Config{
		Sources: []config.Source{
			providers.NewSource("pleasesign", "au", "webhook.secrets=test", "api.key=ps-key", "api.secret=ps-secret"),
			providers.NewSource("clickwrap", "demo", "webhook.secrets=12345,54321", "api.token=rest-token"),
			providers.NewSource("clickwrap", "tokenless"),
			providers.NewSource("esign-v1", "gb", "webhook.token=demo", "webhook.certificate="+EsignKey().Certificate,
				"api.user=me", "api.secret=v1-secret", "api.group=my-group"),
			providers.NewSource("esign-v1", "second", "api.user=other", "api.secret=other-secret"),
		},
	}
	*shortenersettings.Section.In(&cfg) = shortenersettings.Shortener{
		Bitly:     shortenersettings.Bitly{Token: "bitly-token", Domain: "acme.link", Group: "G1"},
		Rebrandly: shortenersettings.Rebrandly{APIKey: "rb-key", Workspace: "W1", Domain: "go.acme.example"},
	}
	*smssettings.VonageSection.In(&cfg) = smssettings.Vonage{
		APIKey: "abcd1234", APISecret: "s3cret", SignatureSecret: "signing\nthe next", SignatureMethod: "sha256",
	}
	*sandboxsettings.Section.In(&cfg) = sandboxsettings.Sandbox{Addr: "127.0.0.1:0", SMTPAddr: "127.0.0.1:0", IngestURL: ingestURL, Key: EsignKey().Pem}
	return cfg
}

// EsignKey returns the key that signs esign-v1 callbacks, and its certificate. They are made only once, because that is slow.
var EsignKey = sync.OnceValue(func() (made struct{ Pem, Certificate string }) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "esign.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	made.Pem = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	made.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return made
})

// Link returns the URL of a path of the sandbox.
func (w World) Link(path string) string { return "http://" + w.HTTPAddr() + path }

// Response is a response with its body.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request that must get a response.
func (w World) Do(method, path, body string, header http.Header) Response {
	w.T.Helper()
	a, err := w.Try(w.T.Context(), method, path, body, header)
	if err != nil {
		w.T.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Try sends a request that may fail.
func (w World) Try(ctx context.Context, method, path, body string, header http.Header) (Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.Link(path), strings.NewReader(body))
	if err != nil {
		return Response{}, err
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
		return Response{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return Response{response.StatusCode, response.Header, string(read)}, err
}

// Get sends a GET.
func (w World) Get(path string) Response { w.T.Helper(); return w.Do("GET", path, "", nil) }

// Post sends a POST with JSON.
func (w World) Post(path, body string) Response { w.T.Helper(); return w.Do("POST", path, body, nil) }

// Received returns the messages in the inbox.
func (w World) Received(query string) []Message {
	w.T.Helper()
	return Read[[]Message](w.T, w.Get("/api/messages"+query))
}

// Fault queues a fault.
func (w World) Fault(body string) { w.T.Helper(); WantStatus(w.T, w.Post("/api/faults", body), 204) }

// SMS sends an SMS.
func (w World) SMS(form url.Values) VonageResponse {
	w.T.Helper()
	return Read[VonageResponse](w.T, w.PostForm(form))
}

// PostForm sends an SMS and returns the raw response.
func (w World) PostForm(form url.Values) Response {
	w.T.Helper()
	return w.Do("POST", "/sms/json", form.Encode(), FormHeader)
}

// WantLeads fails the test unless a shortener's link redirects to the address.
func (w World) WantLeads(short, to string) {
	w.T.Helper()
	if a := w.Get(strings.TrimPrefix(short, w.Link(""))); a.Status != http.StatusFound || a.Header.Get("Location") != to {
		w.T.Errorf("%s responds %d with Location %q, want %q", short, a.Status, a.Header.Get("Location"), to)
	}
}

// FormHeader is the header of a form.
var FormHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// Message is an element of the response to GET /api/messages, with its literal names.
type Message struct {
	Channel    string    `json:"channel"`
	To         string    `json:"to"`
	From       string    `json:"from"`
	Subject    string    `json:"subject"`
	Text       string    `json:"text"`
	HTML       string    `json:"html"`
	Reference  string    `json:"reference"`
	ReceivedAt time.Time `json:"received_at"`
}

// Read decodes a JSON response.
func Read[T any](t *testing.T, a Response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("response %d is not the expected JSON: %v\n%s", a.Status, err, a.Body)
	}
	return v
}

// WantStatus fails the test if the status differs.
func WantStatus(t *testing.T, a Response, status int) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("response %d, want %d: %s", a.Status, status, a.Body)
	}
}

// WantProblem fails the test unless the response is an RFC 9457 error with that detail.
func WantProblem(t *testing.T, a Response, status int, detail string) {
	t.Helper()
	WantStatus(t, a, status)
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if p := Read[struct{ Detail string }](t, a); !strings.Contains(p.Detail, detail) {
		t.Errorf("detail is %q, want %q in it", p.Detail, detail)
	}
}

// Ingest accepts callbacks and stores them.
type Ingest struct {
	*httptest.Server
	Mu    sync.Mutex
	Calls []Call
	// Meets, if set, is called before a callback is accepted. It returns true if it wrote the response itself.
	Meets func(w http.ResponseWriter, c Call) (responded bool)
}

// Call is one received callback.
type Call struct {
	Path   string
	Query  url.Values
	Header http.Header
	Body   string
	Fields map[string]any // of a JSON object, or of a form
	At     time.Time
}

// NewIngest returns an Ingest that accepts every callback.
func NewIngest(t *testing.T) *Ingest {
	t.Helper()
	in := &Ingest{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c := Call{Path: r.Method + " " + r.URL.Path, Query: r.URL.Query(), Header: r.Header, Body: string(body), At: time.Now()}
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			form, broken := url.ParseQuery(string(body))
			err, c.Fields = errors.Join(err, broken), map[string]any{}
			for name := range form {
				c.Fields[name] = form.Get(name)
			}
		} else {
			err = errors.Join(err, json.Unmarshal(body, &c.Fields))
		}
		if err != nil {
			t.Errorf("a callback is neither JSON nor a form: %q, %v", body, err)
		}
		in.Mu.Lock()
		in.Calls = append(in.Calls, c)
		n := len(in.Calls)
		in.Mu.Unlock()
		if in.Meets != nil && in.Meets(w, c) {
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"status":"accepted","ids":["event-%d"]}`, n)
	}))
	t.Cleanup(in.Close)
	return in
}

// Played is the response to POST /api/play, by its literal names.
type Played struct {
	Documents []string `json:"documents"`
	Callbacks []struct {
		Event  string   `json:"event"`
		Status int      `json:"status"`
		IDs    []string `json:"ids"`
	} `json:"callbacks"`
	Detail string `json:"detail"`
}

// Play plays a story without pauses.
func (w World) Play(provider, story string) Played {
	w.T.Helper()
	a := w.Post("/api/play", `{"provider":"`+provider+`","story":"`+story+`","pause_ms":0}`)
	WantStatus(w.T, a, 200)
	return Read[Played](w.T, a)
}

// VonageResponse is Vonage's response, by its literal names.
type VonageResponse struct {
	Count    string `json:"message-count"`
	Messages []struct {
		To        string `json:"to"`
		MessageID string `json:"message-id"`
		Status    string `json:"status"`
		ErrorText string `json:"error-text"`
		ClientRef string `json:"client-ref"`
	} `json:"messages"`
}

// SMSForm returns a valid form with changes, in pairs of name and value. An empty value removes the field.
func SMSForm(changes ...string) url.Values {
	form := url.Values{
		"api_key": {"abcd1234"}, "api_secret": {"s3cret"}, "from": {"Signrelay"}, "to": {"13175551234"},
		"text": {"Please review & sign: https://s.example/x"}, "client-ref": {"ref-1"},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

// Alternative is an e-mail in the form of mail programs: an encoded subject and name, and the same text twice, once in quoted-printable and
// once in base64.
const Alternative = "From: =?utf-8?q?PactSafe_f=C3=BCr_Sie?= <no-reply@acme.example>\r\n" +
	"To: jane.roe@example.com\r\n" +
	"Subject: =?utf-8?q?=22PS_Employment_Agreement=22_wartet?= =?utf-8?b?IMO8YmVy?=\r\n" +
	"Message-ID: <abc123@acme.example>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=\"b1\"\r\n" +
	"\r\n" +
	"--b1\r\n" +
	"Content-Type: text/plain; charset=UTF-8\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n" +
	"\r\n" +
	"Please review & sign=\r\n : https://s.example/x?a=3D1\r\n" +
	".a dot first, and f=C3=BCr\r\n" +
	"--b1\r\n" +
	"Content-Type: text/html; charset=UTF-8\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"PHA+Zsipw7xyPC9w\r\nPg==\r\n" +
	"--b1--\r\n"

// DialSMTP connects to the mail server.
func DialSMTP(t *testing.T, w World) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(w.Addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// SendMail sends one e-mail in one transaction.
func SendMail(client *smtp.Client, email string, to ...string) error {
	if err := client.Mail("no-reply@acme.example"); err != nil {
		return err
	}
	for _, address := range to {
		if err := client.Rcpt(address); err != nil {
			return err
		}
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write([]byte(email)); err != nil {
		return err
	}
	return body.Close()
}

// Mail sends one e-mail in a separate session.
func Mail(t *testing.T, w World, email string, to ...string) {
	t.Helper()
	client := DialSMTP(t, w)
	if err := SendMail(client, email, to...); err != nil {
		t.Fatal(err)
	}
	if err := client.Quit(); err != nil {
		t.Fatal(err)
	}
}

// WantReply fails the test unless the mail server replied with this code.
func WantReply(t *testing.T, err error, code int) {
	t.Helper()
	if reply := new(textproto.Error); !errors.As(err, &reply) || reply.Code != code {
		t.Errorf("the mail server replied %v, want %d", err, code)
	}
}

// Event is an event that a pack reads from a callback.
type Event struct {
	Kind, ID, Document string
	Occurred           time.Time
}

// Normalized reads callbacks as ingest does, with the source's own settings.
func Normalized(t *testing.T, calls []Call) []Event {
	t.Helper()
	var events []Event
	for _, c := range calls {
		p, w, route := ReaderOf(t, c)
		r := pack.Request{
			Method: http.MethodPost, Route: route, Header: c.Header, Query: c.Query, RawQuery: c.Query.Encode(), Body: []byte(c.Body), ReceivedAt: c.At,
		}
		v, err := w.Verify(r)
		if err != nil {
			t.Fatalf("%s: a callback to %q: %v", p.Name, route, err)
		}
		forged := r
		forged.Body = bytes.Replace(r.Body, []byte("status"), []byte("statue"), 1)
		forged.Header, forged.Query = http.Header{"Content-Type": r.Header["Content-Type"]}, nil
		if _, err := w.Verify(forged); err == nil { // the control: the pack refuses a forged callback
			t.Fatalf("%s: an unsigned callback verifies", p.Name)
		}
		read, err := w.Normalize(r, v.By)
		if err != nil {
			t.Fatalf("%s: a callback to %q: %v\n%s", p.Name, route, err, c.Body)
		}
		for _, e := range read {
			events = append(events, Event{e.GetType(), e.GetId(), e.GetDocument().GetId(), e.GetOccurredAt().AsTime()})
		}
	}
	return events
}

// ReaderOf returns the pack and the route of a callback.
func ReaderOf(t *testing.T, c Call) (pack.Pack, pack.Webhook, string) {
	t.Helper()
	parts := strings.SplitN(strings.TrimPrefix(c.Path, "POST /webhooks/"), "/", 3)
	p, ok := providers.ByName(parts[0])
	i := slices.IndexFunc(Settings("").Sources, func(s config.Source) bool { return s.Provider == parts[0] && s.Name == parts[1] })
	if !ok || i < 0 {
		t.Fatalf("a callback was sent to %s", c.Path)
	}
	w, err := p.Webhook(Settings("").Sources[i])
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) == 3 {
		return p, w, "/" + parts[2]
	}
	return p, w, ""
}

// Press presses a button on a signing page, as a browser does.
func (w World) Press(page, button string) Response {
	w.T.Helper()
	return w.Do("POST", page, url.Values{"do": {button}}.Encode(), http.Header{
		"Content-Type": FormHeader["Content-Type"], "Origin": {"http://" + w.HTTPAddr()}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// WantPDF fails the test unless the response is a PDF.
func WantPDF(t *testing.T, a Response) {
	t.Helper()
	WantStatus(t, a, 200)
	if a.Header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(a.Body, "%PDF-1.3\n") || !strings.HasSuffix(a.Body, "%%EOF\n") {
		t.Errorf("it is %q: %.40q", a.Header.Get("Content-Type"), a.Body)
	}
}

// Write sends an e-mail about a document, with a link.
func (w World) Write(to, title, link string) {
	w.T.Helper()
	Mail(w.T, w, "From: no-reply@acme.example\r\nTo: "+to+"\r\nSubject: \""+title+"\"\r\n\r\n\""+title+"\"\r\n"+link+"\r\n", to)
}

// WriteToSender sends the sender of a document an e-mail with a link to pages that are like those on which Signrelay lets the sender correct a person:
// a button, a form, and at last the outcome. correct gets the form.
func (w World) WriteToSender(title string, correct func(url.Values)) {
	w.T.Helper()
	corrected := false
	pages := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		switch {
		case r.UserAgent() == "" || r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Site") != "same-origin":
			w.T.Errorf("the page was requested with %v", r.Header)
		case r.Method == http.MethodPost && r.PostFormValue("correct") == "save":
			corrected = true
			correct(r.PostForm)
			fmt.Fprint(response, `<meta http-equiv="refresh" content="2">`)
		case corrected:
			fmt.Fprint(response, `<h1>The person is corrected</h1>`)
		case r.Method == http.MethodPost:
			fmt.Fprint(response, `<form method="post"><input type="hidden" name="correct" value="save">`)
		default:
			fmt.Fprint(response, `<form method="post"><button>`)
		}
	}))
	w.T.Cleanup(pages.Close)
	w.Write("sender@acme.example", title, pages.URL)
}
