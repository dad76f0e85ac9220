package security

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// callback is one request to ingest.
type callback struct {
	method, path string
	query        string // raw
	header       http.Header
	body         string
}

func (c callback) with(change func(*callback)) callback {
	c.header = c.header.Clone()
	change(&c)
	return c
}

// Authentic callbacks, made here and not by the packs: whoever forges has the providers' documentation, not our code.

// clickwrap is authentic by its token.
func clickwrap(source, body string) callback {
	return callback{
		method: http.MethodPost, path: "/webhooks/clickwrap/" + source, body: body,
		header: http.Header{"Pactsafe-Webhook-Token": {token(source)}, "Content-Type": {"application/json"}},
	}
}

// pleasesign is authentic by the HMAC of its body.
func pleasesign(source, body string) callback {
	return callback{
		method: http.MethodPost, path: "/webhooks/pleasesign/" + source, body: body,
		header: http.Header{"X-Pleasesign-Signature": {hmacOf(token(source), body)}, "Content-Type": {"application/json"}},
	}
}

func hmacOf(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// esignAll is authentic by the token in its query and the signature over its items.
func (s *stand) esignAll(source, items string) callback {
	return esignForm(source, "all", url.Values{"data": {items}, "signed": {signed(s.key, items)}})
}

// esignSigned is authentic by the token, and by the signature over its JSON.
func (s *stand) esignSigned(source, object string) callback {
	c := esignForm(source, "signed", url.Values{"json_signed": {object}})
	c.header.Set("X-Signed", signed(s.key, object))
	return c
}

func esignForm(source, door string, form url.Values) callback {
	return callback{
		method: http.MethodPost, path: "/webhooks/esign-v1/" + source + "/" + door, query: "token=" + token(source), body: form.Encode(),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

func signed(key *rsa.PrivateKey, data string) string {
	sum := sha1.Sum([]byte(data))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA1, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// Bodies that tell that a document was sent.

// today is when it was: the same for each, so that a body is the same each time.
var today = time.Now().UTC().Truncate(time.Second)

func clickwrapSent(document string) string {
	return fmt.Sprintf(`{"event_type":"request_sent","request":%q,"activity":"a-%[1]s","id":"e-%[1]s","created_time":"%[2]s"}`, document, today.Format(time.RFC3339))
}

func pleasesignSent(document string) string {
	return fmt.Sprintf(`{"id":"e-%s","event":"document.created","document_id":%[1]q,"created_date":%[2]d}`, document, today.Unix())
}

func esignSent(document string) string {
	return fmt.Sprintf(`[{"timestamp":"%s","name":"status","value":"10","resource_uri":"/api/v1/document/%s/"}]`, today.Format("2006-01-02T15:04:05"), document)
}

// answer is what ingest said.
type answer struct {
	status int
	fields map[string]any
	header http.Header
	text   string
}

// answers keeps what strangers were told, for the test that looks for secrets in it.
type answers struct {
	mutex sync.Mutex
	texts []string
}

func (a *answers) keep(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.texts = append(a.texts, text)
}

// outsider follows no redirects: he reads where they lead.
var outsider = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a callback as it is.
func (s *stand) send(t testing.TB, c callback) answer {
	t.Helper()
	return s.sendBody(t, c, bytes.NewReader([]byte(c.body)))
}

// sendBody sends a callback with a body of any kind; one whose length net/http does not know goes in chunks.
func (s *stand) sendBody(t testing.TB, c callback, body io.Reader) answer {
	t.Helper()
	target := s.IngestURL + c.path
	if c.query != "" {
		target += "?" + c.query
	}
	a, err := ask(c.method, target, c.header, body)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	s.answers.keep(fmt.Sprint(a.header, a.text))
	return a
}

func ask(method, target string, header http.Header, body io.Reader) (answer, error) {
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	// A listener may close an idle connection while the next request is on its way. This entry, which is not sent, lets net/http repeat a
	// request of which the server has read nothing. A body that cannot be repeated gets a connection of its own.
	r.Header["Idempotency-Key"] = []string{}
	client := outsider
	if body != nil && r.GetBody == nil {
		client = &http.Client{Timeout: outsider.Timeout, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, CheckRedirect: outsider.CheckRedirect}
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.fields) // not every answer is JSON
	return a, nil
}

// accepts wants a callback taken as new.
func (s *stand) accepts(t testing.TB, what string, c callback) {
	t.Helper()
	if a := s.send(t, c); a.status != http.StatusAccepted || a.fields["status"] != "accepted" {
		t.Errorf("%s: %d %s", what, a.status, a.text)
	}
}

// refuses wants a callback refused with that status.
func (s *stand) refuses(t testing.TB, what string, c callback, status int) answer {
	t.Helper()
	a := s.send(t, c)
	if a.status != status {
		t.Errorf("%s: %d %s, want %d", what, a.status, a.text, status)
	}
	return a
}
