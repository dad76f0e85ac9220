package security

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// world replaces every server that Signrelay calls: the providers' REST APIs at one address, Vonage, and a mail server. Its responses
// are the attack. It records requests and messages to measure the effect.
type world struct {
	URL    string
	canary *canary
	mail   net.Listener

	mutex     sync.Mutex
	responses map[string]http.HandlerFunc // by the requested path, decoded
	requests  []apiRequest
	texts     []map[string]string
	emails    []email
}

// apiRequest is one request to a provider's REST API.
type apiRequest struct {
	host, path string // the path in the request line, not decoded
	header     http.Header
}

// receivedEmail is an e-mail that the mail server received.
type email struct {
	to  []string // of the envelope
	raw string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{responses: map[string]http.HandlerFunc{}, canary: newCanary(t)}
	server := httptest.NewServer(w)
	w.URL = server.URL
	var err error
	if w.mail, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	post := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &dialogue{world: w}, nil }))
	go func() { _ = post.Serve(w.mail) }()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = post.Close()
	})
	return w
}

// canary is a server that must not get a request.
type canary struct {
	URL, Host string
	mutex     sync.Mutex
	calls     []string
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := new(canary)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.calls = append(c.calls, r.Method+" "+r.URL.String())
	}))
	t.Cleanup(server.Close)
	c.URL, c.Host = server.URL, strings.TrimPrefix(server.URL, "http://")
	return c
}

// silent requires that the canary has got no request.
func (c *canary) silent(t *testing.T) {
	t.Helper()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.calls) != 0 {
		t.Errorf("the canary got requests: %q", c.calls)
	}
}

// ServeHTTP sends the responses that the tests have set, and 404 for other paths.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/sms/json" {
		w.text(rw, r)
		return
	}
	w.mutex.Lock()
	w.requests = append(w.requests, apiRequest{r.Host, r.URL.EscapedPath(), r.Header.Clone()})
	response := w.responses[r.URL.Path]
	w.mutex.Unlock()
	if response == nil {
		http.NotFound(rw, r)
		return
	}
	response(rw, r)
}

// respond sets the response of a path.
func (w *world) response(path string, how http.HandlerFunc) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.responses[path] = how
}

// respondJSON sets a JSON response.
func (w *world) respondJSON(path string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps and strings
	}
	w.response(path, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(text) })
}

// requestsAbout returns the requests so far whose path contains a text.
func (w *world) requestsAbout(about string) []apiRequest {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var found []apiRequest
	for _, q := range w.requests {
		if strings.Contains(q.path, about) {
			found = append(found, q)
		}
	}
	return found
}

// text is Vonage's SMS API.
func (w *world) text(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	form := map[string]string{}
	for name, values := range r.PostForm {
		form[name] = strings.Join(values, " AND ")
	}
	w.mutex.Lock()
	w.texts = append(w.texts, form)
	w.mutex.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	//nolint:errchkjson // strings
	_ = json.NewEncoder(rw).Encode(map[string]any{"message-count": "1", "messages": []any{map[string]string{
		"to": form["to"], "message-id": "m-" + form["client-ref"], "status": "0", "client-ref": form["client-ref"],
	}}})
}

// textsWith returns the texts so far that contain a marker.
func (w *world) textsWith(marker string) []map[string]string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var found []map[string]string
	for _, form := range w.texts {
		if strings.Contains(form["text"], marker) {
			found = append(found, form)
		}
	}
	return found
}

// emailsWith returns the e-mails so far that contain a marker, which must be short and plain, so that it is not encoded.
func (w *world) emailsWith(marker string) []email {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var found []email
	for _, l := range w.emails {
		if strings.Contains(l.raw, marker) {
			found = append(found, l)
		}
	}
	return found
}

// dialogue is one connection to the mail server.
type dialogue struct {
	world *world
	to    []string
}

func (*dialogue) Mail(string, *smtp.MailOptions) error { return nil }
func (d *dialogue) Reset()                             { d.to = nil }
func (*dialogue) Logout() error                        { return nil }

func (d *dialogue) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *dialogue) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.world.mutex.Lock()
	defer d.world.mutex.Unlock()
	d.world.emails = append(d.world.emails, email{d.to, string(raw)})
	return nil
}
