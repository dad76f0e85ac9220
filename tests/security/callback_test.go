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

// These functions make authentic callbacks without the packs: an attacker has the providers' documentation, not our code.

// clickwrap is authenticated by its token.
func clickwrap(source, body string) callback {
	return callback{
		method: http.MethodPost, path: "/webhooks/clickwrap/" + source, body: body,
		header: http.Header{"Pactsafe-Webhook-Token": {token(source)}, "Content-Type": {"application/json"}},
	}
}

// pleasesign is authenticated by the HMAC of its body.
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

// esignAll is authenticated by the token in its query and the signature of its items.
func (s *stand) esignAll(source, items string) callback {
	return esignForm(source, "all", url.Values{"data": {items}, "signed": {signed(s.key, items)}})
}

// esignSigned is authenticated by the token and the signature of its JSON.
func (s *stand) esignSigned(source, object string) callback {
	c := esignForm(source, "signed", url.Values{"json_signed": {object}})
	c.header.Set("X-Signed", signed(s.key, object))
	return c
}

func esignForm(source, kind string, form url.Values) callback {
	return callback{
		method: http.MethodPost, path: "/webhooks/esign-v1/" + source + "/" + kind, query: "token=" + token(source), body: form.Encode(),
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

// Bodies that report a sent document.

// today is the time of sending: the same for each, so that repeated bodies are equal.
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

// response is ingest's response.
type response struct {
	status int
	fields map[string]any
	header http.Header
	text   string
}

// responses keeps the responses to strangers, so that a test can look for secrets in them.
type responses struct {
	mutex sync.Mutex
	texts []string
}

func (a *responses) keep(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.texts = append(a.texts, text)
}

// outsider follows no redirects, because the tests read their targets.
var outsider = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a callback unchanged.
func (s *stand) send(t testing.TB, c callback) response {
	t.Helper()
	return s.sendBody(t, c, bytes.NewReader([]byte(c.body)))
}

// sendBody sends a callback with any body. A body whose length net/http does not know is sent in chunks.
func (s *stand) sendBody(t testing.TB, c callback, body io.Reader) response {
	t.Helper()
	target := s.IngestURL + c.path
	if c.query != "" {
		target += "?" + c.query
	}
	a, err := call(c.method, target, c.header, body)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	s.responses.keep(fmt.Sprint(a.header, a.text))
	return a
}

func call(method, target string, header http.Header, body io.Reader) (response, error) {
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		return response{}, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	// A listener may close an idle connection while the next request is in flight. With this entry, which is not sent, net/http repeats a
	// request if the server has read nothing of it. A body that cannot be repeated gets a new connection.
	r.Header["Idempotency-Key"] = []string{}
	client := outsider
	if body != nil && r.GetBody == nil {
		client = &http.Client{Timeout: outsider.Timeout, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, CheckRedirect: outsider.CheckRedirect}
	}
	resp, err := client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return response{}, err
	}
	a := response{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.fields) // not every response is JSON
	return a, nil
}

// accepts requires that a callback is accepted as new.
func (s *stand) accepts(t testing.TB, what string, c callback) {
	t.Helper()
	if a := s.send(t, c); a.status != http.StatusAccepted || a.fields["status"] != "accepted" {
		t.Errorf("%s: %d %s", what, a.status, a.text)
	}
}

// refuses requires that a callback is refused with this status.
func (s *stand) refuses(t testing.TB, what string, c callback, status int) response {
	t.Helper()
	a := s.send(t, c)
	if a.status != status {
		t.Errorf("%s: %d %s, want %d", what, a.status, a.text, status)
	}
	return a
}
