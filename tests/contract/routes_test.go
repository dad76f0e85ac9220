package contract_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/tests/testenv"
)

// Each documented response of each route occurs, and conforms to the document: first with all parts running, then without NATS.
func TestEveryRouteRespondsAsDocumented(t *testing.T) {
	t.Parallel()
	o := openapi(t)
	visitor{t: t, h: testenv.Standalone(t, "SIGNRELAY_SHORTENER_PER_MINUTE=40"), o: o}.atWork()
	visitor{t: t, h: testenv.Separate(t), o: o}.withoutNATS()
	if !t.Failed() {
		o.everyResponseWasSeen(t)
	}
}

// visitor sends requests and compares the responses with the document.
type visitor struct {
	t *testing.T
	h *testenv.Env
	o *openAPI
}

var (
	asJSON          = http.Header{"Content-Type": {"application/json"}}
	asForm          = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	byPhone         = http.Header{"User-Agent": {phone}}
	fromElsewhere   = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/json"}}
	clickwrapToken  = http.Header{"Pactsafe-Webhook-Token": {"12345"}}
	clickwrapHeader = http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
)

func (v visitor) atWork() {
	v.callbacks()
	v.links()
	v.receipts(v.h.IngestURL)
	v.texts(v.h.IngestURL)
	v.admin("signrelay", http.StatusOK)
	v.sandbox()
	v.console()
}

// console calls the console's pages as a script does. In the demo its reader has all roles.
func (v visitor) console() {
	json, home := http.Header{"Accept": {"application/json"}}, "http://"+v.h.Address("SIGNRELAY_CONSOLE_ADDR")
	for path, at := range map[string]string{
		"/": "/", "/sources": "/sources", "/sources/{provider}/{name}": "/sources/clickwrap/demo", "/subscribers": "/subscribers", "/me": "/me",
		"/stuck": "/stuck", "/jobs": "/jobs",
		"/documents": "/documents", "/insight": "/insight",
	} {
		v.wants(http.StatusOK, path, v.request(http.MethodGet, home+at, json, ""))
		v.wants(http.StatusBadRequest, path, v.request(http.MethodGet, home+at+"?tme=utc", json, ""))
	}
	source := "/sources/{provider}/{name}"
	v.wants(http.StatusNotFound, source, v.request(http.MethodGet, home+"/sources/clickwrap/other", json, ""))
	v.wants(http.StatusNotFound, source+"/sign-in", v.request(http.MethodGet, home+"/sources/clickwrap/demo/sign-in", json, ""))
	v.wants(http.StatusNotFound, source+"/sign-in/done", v.request(http.MethodGet, home+"/sources/clickwrap/demo/sign-in/done", json, ""))
	page := send(v.t, v.request(http.MethodGet, home+"/sources/clickwrap/demo", http.Header{"Accept": {"text/html"}}, ""))
	_, token, _ := strings.Cut(string(page.body), `name="token" value="`)
	token, _, _ = strings.Cut(token, `"`)
	json = maps.Clone(json)
	v.wants(http.StatusForbidden, source, v.request(http.MethodPost, home+"/sources/clickwrap/demo", json, ""))
	json.Set("Signrelay-Token", token)
	v.wants(http.StatusUnprocessableEntity, source, v.request(http.MethodPost, home+"/sources/clickwrap/demo", json, ""))
	form := maps.Clone(json)
	form.Set("Content-Type", "application/x-www-form-urlencoded")
	v.wants(http.StatusOK, source, v.request(http.MethodPost, home+"/sources/clickwrap/demo", form, "why=ticket+17"))
	v.documents(home, json)
	v.wants(http.StatusNotFound, source, v.request(http.MethodPost, home+"/sources/clickwrap/other", json, ""))
	v.document(home, json)
	v.stuck(home, token)
	v.mcp(home + "/mcp")
}

// mcp calls the MCP server as a client does.
func (v visitor) mcp(at string) {
	header := http.Header{"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		changed := header.Clone()
		changed.Set(name, value)
		return changed
	}
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	v.wants(http.StatusOK, "/mcp", v.request(http.MethodPost, at, header, list))
	v.wants(http.StatusAccepted, "/mcp", v.request(http.MethodPost, at, header, `{"jsonrpc":"2.0","method":"notifications/initialized"}`))
	v.wants(http.StatusBadRequest, "/mcp", v.request(http.MethodPost, at, header, "{"))
	v.wants(http.StatusForbidden, "/mcp", v.request(http.MethodPost, at, with("Sec-Fetch-Site", "cross-site"), list))
	v.wants(http.StatusUnsupportedMediaType, "/mcp", v.request(http.MethodPost, at, with("Content-Type", "text/plain"), list))
	v.wants(http.StatusRequestEntityTooLarge, "/mcp", v.request(http.MethodPost, at, header, strings.Repeat(" ", 65<<10)+list))
}

// document calls the page of one document.
func (v visitor) document(home string, header http.Header) {
	path := "/documents/{provider}/{source}/{document}"
	ids := v.h.Play(v.t, "clickwrap", "one-signer")
	at := home + "/documents/clickwrap/demo/" + url.PathEscape(ids[0])
	v.wants(http.StatusOK, path, v.request(http.MethodGet, at, header, ""))
	v.wants(http.StatusOK, path, v.request(http.MethodGet, at+"?do=hold", header, ""))
	v.wants(http.StatusNotFound, path, v.request(http.MethodGet, at+"-other", header, ""))
	v.wants(http.StatusBadRequest, path, v.request(http.MethodGet, at+"?show=nothing", header, ""))
	v.wants(http.StatusConflict, path, v.request(http.MethodGet, at+"?get=evidence", header, "")) // the demo has no key
	form := header.Clone()
	form.Set("Content-Type", "application/x-www-form-urlencoded")
	plan := send(v.t, v.request(http.MethodGet, at+"?do=hold", header, ""))
	_, effect, _ := strings.Cut(string(plan.body), `"effect":"`)
	effect, _, _ = strings.Cut(effect, `"`)
	v.wants(http.StatusConflict, path, v.request(http.MethodPost, at+"?do=hold", form, "why=TICKET-1&effect=other"))
	v.wants(http.StatusBadRequest, path, v.request(http.MethodPost, at+"?do=hold", form, "effect="+effect))
	v.wants(http.StatusNotFound, path, v.request(http.MethodPost, at+"-other?do=hold", form, ""))
	v.wants(http.StatusOK, path, v.request(http.MethodPost, at+"?do=hold", form, "why=TICKET-1&effect="+effect))
	open := home + "/documents/clickwrap/demo/" + url.PathEscape(v.h.Play(v.t, "clickwrap", "seed")[1]) // one of two has signed
	v.h.Until(v.t, "the log names the person", func() bool {
		return strings.Contains(string(send(v.t, v.request(http.MethodGet, open+"?do=correct", header, "")).body), `"fields":`)
	})
	v.wants(http.StatusOK, path, v.request(http.MethodGet, open+"?do=correct", header, ""))
	v.wants(http.StatusUnprocessableEntity, path, v.request(http.MethodPost, open+"?do=correct", form, "email=nobody"))
	v.wants(http.StatusOK, path, v.request(http.MethodPost, open+"?do=correct", form, "email=somebody%40example.com"))
	form.Del("Signrelay-Token")
	v.wants(http.StatusForbidden, path, v.request(http.MethodPost, at+"?do=hold", form, ""))
}

// stuck calls the console's pages about what is stuck, with a dead letter that cannot be read and a callback.
func (v visitor) stuck(home, token string) {
	js := v.h.JetStream(v.t)
	for subject, header := range map[string]nats.Header{
		"dlq.v1.enricher": {"Signrelay-Dlq-Stage": {"enricher"}, "Signrelay-Dlq-Reason": {"undecodable"}, "Signrelay-Dlq-Id": {"x"}, "Signrelay-Dlq-Stream": {"SIGNING"},
			"Signrelay-Dlq-Sequence": {"1"}, "Signrelay-Dlq-Subject": {"signing.v1.demo.clickwrap.document.sent.x"}},
		"quarantine.v1.demo.clickwrap.not-json": {"Signrelay-Source": {"demo"}, "Signrelay-Provider": {"clickwrap"}, "Signrelay-Method": {"POST"}, "Signrelay-Reason": {"not-json"},
			"Signrelay-Header": {`{"Content-Type":["application/json"]}`}},
	} {
		if _, err := js.PublishMsg(v.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte("{")}); err != nil {
			v.t.Fatal(err)
		}
	}
	get := http.Header{"Accept": {"application/json"}}
	post := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Signrelay-Token": {token}}
	forged := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	field := func(path, name string) string {
		body := send(v.t, v.request(http.MethodGet, home+path, get, "")).body
		_, value, _ := strings.Cut(string(body), `"`+name+`":"`)
		value, _, _ = strings.Cut(value, `"`)
		return value
	}
	v.wants(http.StatusUnprocessableEntity, "/stuck", v.request(http.MethodGet, home+"/stuck?do=replay&which=selected", get, ""))
	item, callback := home+"/stuck/"+field("/stuck?what=dead", "key"), home+"/stuck/"+field("/stuck?what=quarantined", "key")
	v.wants(http.StatusOK, "/stuck/{key}", v.request(http.MethodGet, item, get, ""))
	v.wants(http.StatusBadRequest, "/stuck/{key}", v.request(http.MethodGet, item+"?tme=utc", get, ""))
	v.wants(http.StatusNotFound, "/stuck/{key}", v.request(http.MethodGet, home+"/stuck/dead.99", get, ""))
	v.wants(http.StatusForbidden, "/stuck/{key}", v.request(http.MethodPost, callback, forged, "body=%7B%7D"))
	v.wants(http.StatusNotFound, "/stuck/{key}", v.request(http.MethodPost, home+"/stuck/dead.99", post, "body=%7B%7D"))
	v.wants(http.StatusUnprocessableEntity, "/stuck/{key}", v.request(http.MethodPost, callback, post, "body=%7B"))
	v.wants(http.StatusOK, "/stuck/{key}", v.request(http.MethodPost, callback, post, "body=%7B%7D"))

	plan := "plan=" + field("/stuck?what=dead&which=match&do=drop&rate=1", "token")
	v.wants(http.StatusForbidden, "/stuck", v.request(http.MethodPost, home+"/stuck?do=drop", forged, plan+"&why=x"))
	v.wants(http.StatusGone, "/stuck", v.request(http.MethodPost, home+"/stuck?do=drop", post, "plan=x&why=x"))
	v.wants(http.StatusUnprocessableEntity, "/stuck", v.request(http.MethodPost, home+"/stuck?do=drop", post, plan+"&why=%20"))
	v.wants(http.StatusOK, "/stuck", v.request(http.MethodPost, home+"/stuck?do=drop", post, plan+"&why=x"))
	v.wants(http.StatusConflict, "/stuck", v.request(http.MethodPost, home+"/stuck?do=drop", post, plan+"&why=x"))
	path := "/jobs/{id}"
	v.wants(http.StatusNotFound, path, v.request(http.MethodGet, home+"/jobs/none", get, ""))
	v.wants(http.StatusNotFound, path, v.request(http.MethodPost, home+"/jobs/none?do=stop", post, ""))
	// ingest's replay of a callback that it still cannot read begins within a second, so it is stopped before.
	plan = "plan=" + field("/stuck?what=quarantined&which=match&do=replay-callbacks", "token")
	send(v.t, v.request(http.MethodPost, home+"/stuck?do=replay-callbacks", post, plan+"&why=x"))
	job := home + "/jobs/" + field("/jobs", "id")
	v.wants(http.StatusForbidden, path, v.request(http.MethodPost, job+"?do=pause", forged, ""))
	v.wants(http.StatusOK, path, v.request(http.MethodGet, job, get, ""))
	v.wants(http.StatusBadRequest, path, v.request(http.MethodGet, job+"?tme=utc", get, ""))
	v.wants(http.StatusOK, path, v.request(http.MethodPost, job+"?do=stop", post, ""))
	v.wants(http.StatusConflict, path, v.request(http.MethodPost, job+"?do=pause", post, ""))
}

// documents searches and saves a view. The header has the token of the session.
func (v visitor) documents(home string, header http.Header) {
	post := func(status int, path, form string, changes ...string) {
		v.t.Helper()
		h := maps.Clone(header)
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, key := range changes {
			h.Del(key)
		}
		v.wants(status, path, v.request(http.MethodPost, home+path, h, form))
	}
	v.wants(http.StatusNotFound, "/documents", v.request(http.MethodGet, home+"/documents?s=unknown", header, ""))
	v.wants(http.StatusOK, "/documents", v.request(http.MethodGet, home+"/documents?format=csv", header, ""))
	v.wants(http.StatusOK, "/insight", v.request(http.MethodGet, home+"/insight?format=csv", header, ""))
	post(http.StatusOK, "/documents", "q=%2B61491570156")
	post(http.StatusBadRequest, "/documents", "state=lost")
	post(http.StatusForbidden, "/documents", "q=a", "Signrelay-Token")
	post(http.StatusOK, "/documents/views", "do=save&name=mine&q=wil")
	post(http.StatusBadRequest, "/documents/views", "do=save")
	post(http.StatusForbidden, "/documents/views", "do=save&name=x", "Signrelay-Token")
	post(http.StatusNotFound, "/documents/views", "do=delete&view=none")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		v.tooManySearches(home, method, header)
	}
}

// tooManySearches searches until the console refuses it: by ten callers at once, because one may be slower than the limit of 20 a second.
func (v visitor) tooManySearches(home, method string, header http.Header) {
	header = maps.Clone(header)
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	refused := make(chan bool, 1)
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			for len(refused) == 0 && v.t.Context().Err() == nil {
				req := v.request(method, home+"/documents", header, "")
				if a := send(v.t, req); a.status == http.StatusTooManyRequests {
					select {
					case refused <- true:
						v.o.check(v.t, "/documents", req, a)
					default:
					}
				}
			}
		})
	}
	callers.Wait()
}

func (v visitor) withoutNATS() {
	h := v.h
	h.Processes["shortener"].Stop()
	h.StartService(v.t, "shortener", "shortener", "SIGNRELAY_SHORTENER_EXPIRE_AFTER=1ns")
	v.send("clickwrap", "request-sent")
	h.Until(v.t, "a link has arrived", func() bool { return len(links(v.t, h)) > 0 })
	link := links(v.t, h)[0]
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodPost} {
		v.wants(http.StatusGone, "/l/{code}", v.request(method, link, byPhone, "")) // expired; robots get the same response
	}
	h.Processes["nats"].Stop()

	const away = http.StatusServiceUnavailable
	endpoint := h.IngestURL + "/webhooks/clickwrap/demo"
	v.wants(away, "/webhooks/clickwrap/{source}", v.request(http.MethodPost, endpoint, clickwrapHeader, `{"event_type":"activity_visited","id":"e1","request":"r1"}`))
	v.wants(away, "/webhooks/clickwrap/{source}", v.request(http.MethodGet, endpoint+"?event_type=activity_visited&id=e1&request=r1", clickwrapToken, ""))
	for _, sample := range v.samples() {
		if sample[0] != "clickwrap" { // above
			req, path := v.sample(sample[0], sample[1])
			v.wants(away, path, req)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		v.wants(away, "/l/{code}", v.request(method, link, byPhone, ""))
	}
	endpoint = "http://" + h.Address("SIGNRELAY_RECEIPTS_ADDR") + "/receipts/vonage/demo"
	receipt := signed(receiptOf("0123456789abcdefghijklmnop"))
	v.wants(away, "/receipts/vonage/{source}", v.request(http.MethodPost, endpoint, asForm, receipt))
	v.wants(away, "/receipts/vonage/{source}", v.request(http.MethodGet, endpoint+"?"+receipt, nil, ""))
	endpoint = "http://" + h.Address("SIGNRELAY_RECEIPTS_ADDR") + "/inbound/vonage/demo"
	text := signed(inboundText("m9", "13175551234"))
	v.wants(away, "/inbound/vonage/{source}", v.request(http.MethodPost, endpoint, asForm, text))
	v.wants(away, "/inbound/vonage/{source}", v.request(http.MethodGet, endpoint+"?"+text, nil, ""))
	for _, name := range testenv.Services[1:] {
		v.admin(name, away)
	}
	h.Processes["ingest"].Stop()
	v.wants(http.StatusBadGateway, "/api/play", v.request(http.MethodPost, h.SandboxURL+"/api/play", asJSON, `{"provider":"clickwrap","story":"one-signer"}`))
}

func (v visitor) request(method, target string, header http.Header, body string) *http.Request {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	return req
}

// wants sends the request and requires this status and a documented response.
func (v visitor) wants(status int, path string, req *http.Request) observed {
	v.t.Helper()
	a := send(v.t, req)
	if a.status != status {
		v.t.Errorf("%s %s: %d, want %d: %.300s", req.Method, path, a.status, status, a.body)
	}
	v.o.check(v.t, path, req, a)
	return a
}

// sample is a recorded callback, as its provider sends it, with its documented path.
func (v visitor) sample(provider, name string) (req *http.Request, path string) {
	v.t.Helper()
	p, _ := providers.ByName(provider)
	s, err := pack.ReadSample(p.Samples, name)
	if err != nil {
		v.t.Fatal(err)
	}
	source, key := v.demo(provider)
	r, err := p.Sign(source, key, s.Request)
	if err != nil {
		v.t.Fatal(err)
	}
	path = "/webhooks/" + provider + "/{source}" + r.Route
	target := v.h.IngestURL + strings.Replace(path, "{source}", "demo", 1)
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req = v.request(r.Method, target, nil, string(r.Body))
	for header, values := range r.Header {
		if header != "Host" && header != "Content-Length" {
			req.Header[header] = values
		}
	}
	return req, path
}

// demo is a provider's source in the environment, with its private key if it has one.
func (v visitor) demo(provider string) (config.Source, *rsa.PrivateKey) {
	v.t.Helper()
	file := filepath.Join(v.t.TempDir(), "signrelay.yaml")
	if err := os.WriteFile(file, []byte(testenv.SandboxSettings(v.h)), 0o600); err != nil {
		v.t.Fatal(err)
	}
	cfg, _, err := config.Load(sections.All, []string{"--config", file}, nil) // its sources have the credentials of the demo's sources
	if err != nil {
		v.t.Fatal(err)
	}
	i := slices.IndexFunc(cfg.Sources, func(s config.Source) bool { return s.Provider == provider })
	if i < 0 {
		v.t.Fatalf("tests/testenv/env.go: SandboxSettings has no source of %s", provider)
	}
	source := cfg.Sources[i]
	data, err := os.ReadFile(filepath.Join(v.h.DataDir, "demo-esign-v1.pem"))
	if err != nil { // only standalone creates one
		return source, nil
	}
	block, certificate := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, is := range source.Settings() {
		if is.File && !is.Secret { // a certificate
			source = source.With(is.Key + "=" + string(certificate))
		}
	}
	return source, key
}

// samples returns a provider and a sample for each route and method of the packs. The samples of the first packs are named, because later
// requests of the test depend on them.
func (v visitor) samples() [][2]string {
	v.t.Helper()
	all := [][2]string{
		{"clickwrap", "request-sent"}, {"clickwrap", "get-request-signed"}, {"pleasesign", "document-created"}, {"esign-v1", "signed"}, {"esign-v1", "all"},
	}
	first := slices.Clone(all)
	for _, p := range providers.All {
		if slices.ContainsFunc(first, func(s [2]string) bool { return s[0] == p.Name }) {
			continue
		}
		names, err := fs.Glob(p.Samples, "*.http")
		if err != nil {
			v.t.Fatal(err)
		}
		has := map[string]bool{} // by method and path
		for _, file := range names {
			name := strings.TrimSuffix(file, ".http")
			s, err := pack.ReadSample(p.Samples, name)
			if err != nil {
				v.t.Fatal(err)
			}
			if route := s.Request.Method + " " + s.Request.Route; !has[route] {
				has[route] = true
				all = append(all, [2]string{p.Name, name})
			}
		}
	}
	return all
}

// send sends a sample that is accepted.
func (v visitor) send(provider, name string) {
	v.t.Helper()
	req, path := v.sample(provider, name)
	v.wants(http.StatusAccepted, path, req)
}

// callbacks sends callbacks to each path: accepted ones, duplicates, and one for each reason of a refusal.
func (v visitor) callbacks() {
	for _, s := range v.samples() {
		v.send(s[0], s[1])
		again, path := v.sample(s[0], s[1])
		v.wants(http.StatusOK, path, again)

		bare, _ := v.sample(s[0], s[1])
		bare.URL.RawQuery = strings.ReplaceAll(bare.URL.RawQuery, "token=demo", "token=other")
		bare.Header = http.Header{"Content-Type": bare.Header["Content-Type"]}
		v.wants(http.StatusUnauthorized, path, bare)

		lost, _ := v.sample(s[0], s[1])
		lost.URL.Path = strings.Replace(lost.URL.Path, "/demo", "/unknown", 1)
		v.wants(http.StatusNotFound, path, lost)
		if again.Method == http.MethodGet {
			continue
		}
		endpoint := v.h.IngestURL + strings.Replace(path, "{source}", "demo", 1)
		v.wants(http.StatusMethodNotAllowed, path, v.request(http.MethodPut, endpoint, nil, ""))
		v.wants(http.StatusUnsupportedMediaType, path, v.request(http.MethodPost, endpoint, http.Header{"Content-Type": {"text/xml"}}, "<x/>"))
		v.wants(http.StatusRequestEntityTooLarge, path, v.request(http.MethodPost, endpoint, http.Header{}, strings.Repeat("x", 1<<20+1)))
		v.cutOff(path, endpoint)
	}
	v.wants(http.StatusAccepted, "/webhooks/clickwrap/{source}", v.request(http.MethodPost, v.h.IngestURL+"/webhooks/clickwrap/demo", clickwrapHeader, `{"event_type":"x"}`))
	v.wants(http.StatusAccepted, "/webhooks/clickwrap/{source}", v.request(http.MethodGet, v.h.IngestURL+"/webhooks/clickwrap/demo?event_type=x", clickwrapToken, ""))
}

// cutOff sends a callback whose body ends early.
func (v visitor) cutOff(path, endpoint string) {
	v.t.Helper()
	address, _ := url.Parse(endpoint)
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("POST " + address.Path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")); err != nil {
		v.t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		v.t.Fatal(err)
	}
	req := v.request(http.MethodPost, endpoint, nil, "")
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := observe(v.t, resp)
	if a.status != http.StatusBadRequest {
		v.t.Errorf("a body that ends early: %d %s", a.status, a.body)
	}
	v.o.check(v.t, path, req, a)
}

// links opens links as people and as robots, while their documents are open, signed, closed, or unavailable.
func (v visitor) links() {
	link := func(status int, method, target string, header http.Header) {
		v.t.Helper()
		v.wants(status, "/l/{code}", v.request(method, target, header, ""))
	}
	const get, head, post = http.MethodGet, http.MethodHead, http.MethodPost
	v.h.Until(v.t, "the sample's link has arrived", func() bool { return len(links(v.t, v.h)) > 0 })
	open := links(v.t, v.h)[0]
	link(http.StatusFound, get, open, byPhone)
	link(http.StatusSeeOther, post, open, byPhone)
	link(http.StatusOK, get, open, http.Header{"User-Agent": {"WhatsApp/2.23.20"}})
	link(http.StatusOK, head, open, byPhone)
	link(http.StatusServiceUnavailable, get, open, http.Header{"User-Agent": {phone}, "Sec-Purpose": {"prefetch"}})
	link(http.StatusMethodNotAllowed, http.MethodPut, open, byPhone)

	none := open[:len(open)-15] + "aaaaaaaaaaaaaa"
	for _, method := range []string{get, head, post} {
		link(http.StatusNotFound, method, none, byPhone)
	}
	finished, closed := v.linkOf("esign-v1", "one-signer"), v.linkOf("esign-v1", "declined")
	link(http.StatusOK, get, finished, byPhone) // the page's button
	link(http.StatusOK, post, finished, byPhone)
	link(http.StatusGone, post, closed, byPhone)
	v.h.InjectFault(v.t, `{"target":"esign-v1","mode":"refuse"}`)
	link(http.StatusServiceUnavailable, post, finished, byPhone)
	for _, method := range []string{get, head, post} {
		for range 60 { // more than shortener.per_minute
			req := v.request(method, open, byPhone, "")
			a := send(v.t, req)
			v.o.check(v.t, "/l/{code}", req, a)
			if a.status == http.StatusTooManyRequests {
				break
			}
		}
	}
}

// linkOf plays a story and returns the link in its first invitation by SMS.
func (v visitor) linkOf(provider, story string) (link string) {
	v.t.Helper()
	invitations := "signing.v1.demo." + provider + ".notification.requested." + event.DocumentToken(v.h.Play(v.t, provider, story)[0])
	log := event.Log{JS: v.h.JetStream(v.t), Stream: flow.Signing}
	v.h.Until(v.t, "the story's link has arrived", func() bool {
		texts := map[string]string{}
		for _, m := range v.h.Messages(v.t) {
			texts[m.Reference] = m.Text
		}
		for m, err := range log.Messages(v.t.Context(), invitations, time.Time{}) {
			if err != nil {
				v.t.Fatal(err)
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				v.t.Fatal(err)
			}
			if n := e.GetNotice(); n.GetKind() == "invitation" && n.GetChannel() == "sms" {
				link = shortLink.FindString(texts[n.GetNotificationId()])
			}
		}
		return link != ""
	})
	return link
}

func receiptOf(reference string) map[string]string {
	return map[string]string{"messageId": "0A0000000123ABCD", "status": "delivered", "err-code": "0", "client-ref": reference, "message-timestamp": "2026-01-02 03:04:05"}
}

// signed is a receipt as a form, with Vonage's signature.
func signed(fields map[string]string) string {
	mac := hmac.New(sha256.New, []byte("demo-signature"))
	form := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		mac.Write([]byte("&" + name + "=" + fields[name]))
		form.Set(name, fields[name])
	}
	form.Set("sig", hex.EncodeToString(mac.Sum(nil)))
	return form.Encode()
}

func (v visitor) receipts(base string) {
	const path = "/receipts/vonage/{source}"
	var text testenv.Message
	v.h.Until(v.t, "a text has arrived", func() bool {
		i := slices.IndexFunc(v.h.Messages(v.t), func(m testenv.Message) bool { return m.Channel == "sms" })
		if i >= 0 {
			text = v.h.Messages(v.t)[i]
		}
		return i >= 0
	})
	endpoint, elsewhere := base+"/receipts/vonage/demo", base+"/receipts/vonage/unknown"
	ours, odd := signed(receiptOf(text.Reference)), signed(map[string]string{"status": "delivered"})
	for range 2 { // recorded, then repeated
		v.wants(http.StatusOK, path, v.request(http.MethodPost, endpoint, asForm, ours))
	}
	v.wants(http.StatusOK, path, v.request(http.MethodGet, endpoint+"?"+signed(receiptOf("unknown")), nil, "")) // unknown
	for query, status := range map[string]int{ours + "x": http.StatusUnauthorized, odd: http.StatusBadRequest} {
		v.wants(status, path, v.request(http.MethodPost, endpoint, asForm, query))
		v.wants(status, path, v.request(http.MethodGet, endpoint+"?"+query, nil, ""))
	}
	v.wants(http.StatusNotFound, path, v.request(http.MethodPost, elsewhere, asForm, ours))
	v.wants(http.StatusNotFound, path, v.request(http.MethodGet, elsewhere+"?"+ours, nil, ""))
	v.wants(http.StatusRequestEntityTooLarge, path, v.request(http.MethodPost, endpoint, asForm, strings.Repeat("x", 64<<10+1)))
	v.wants(http.StatusMethodNotAllowed, path, v.request(http.MethodPut, endpoint, nil, ""))
}

func inboundText(id, from string) map[string]string {
	return map[string]string{"messageId": id, "msisdn": from, "to": "13175550100", "text": "Stop", "type": "text", "message-timestamp": time.Now().UTC().Format(time.DateTime)}
}

func (v visitor) texts(base string) {
	const path = "/inbound/vonage/{source}"
	endpoint, elsewhere := base+"/inbound/vonage/demo", base+"/inbound/vonage/unknown"
	stop, nobody, part := signed(inboundText("m1", "447911123999")), inboundText("m2", "Vodafone"), inboundText("m3", "447911123998")
	maps.Copy(part, map[string]string{"concat": "true", "concat-ref": "1", "concat-total": "2", "concat-part": "1"})
	for _, text := range []string{stop, stop, signed(nobody), signed(part)} { // recorded, repeated, ignored, part
		v.wants(http.StatusOK, path, v.request(http.MethodPost, endpoint, asForm, text))
		v.wants(http.StatusOK, path, v.request(http.MethodGet, endpoint+"?"+text, nil, ""))
	}
	for query, status := range map[string]int{stop + "x": http.StatusUnauthorized, signed(map[string]string{"text": "Stop"}): http.StatusBadRequest} {
		v.wants(status, path, v.request(http.MethodPost, endpoint, asForm, query))
		v.wants(status, path, v.request(http.MethodGet, endpoint+"?"+query, nil, ""))
	}
	v.wants(http.StatusNotFound, path, v.request(http.MethodPost, elsewhere, asForm, stop))
	v.wants(http.StatusNotFound, path, v.request(http.MethodGet, elsewhere+"?"+stop, nil, ""))
	v.wants(http.StatusRequestEntityTooLarge, path, v.request(http.MethodPost, endpoint, asForm, strings.Repeat("x", 64<<10+1)))
	v.wants(http.StatusMethodNotAllowed, path, v.request(http.MethodPut, endpoint, nil, ""))
}

// admin calls a process's admin routes, once it has the expected readiness.
func (v visitor) admin(process string, ready int) {
	v.t.Helper()
	admin := v.h.Processes[process].AdminURL()
	v.h.Until(v.t, process+" has the expected readiness", func() bool { return v.h.Ready(v.t, process) == ready })
	v.wants(ready, "/readyz", v.request(http.MethodGet, admin+"/readyz", nil, ""))
	v.wants(ready, "/readyz", v.request(http.MethodGet, admin+"/readyz?verbose", nil, ""))
	v.wants(http.StatusOK, "/livez", v.request(http.MethodGet, admin+"/livez", nil, ""))
	v.wants(http.StatusOK, "/metrics", v.request(http.MethodGet, admin+"/metrics", nil, ""))
}

func (v visitor) sandbox() {
	api := v.h.SandboxURL + "/api/"
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	v.wants(http.StatusOK, "/api/messages", v.request(get, api+"messages?channel=sms", nil, ""))
	v.wants(http.StatusOK, "/api/messages", v.request(get, api+"messages", nil, ""))
	v.wants(http.StatusNoContent, "/api/messages", v.request(remove, api+"messages", nil, ""))
	v.wants(http.StatusOK, "/api/stories", v.request(get, api+"stories", nil, ""))
	v.wants(http.StatusOK, "/api/play", v.request(post, api+"play", asJSON, `{"provider":"pleasesign","story":"one-signer","pause_ms":0}`))
	for _, path := range []string{"play", "faults"} {
		v.wants(http.StatusUnsupportedMediaType, "/api/"+path, v.request(post, api+path, nil, `{"provider":"clickwrap","story":"one-signer"}`))
	}
	v.wants(http.StatusBadRequest, "/api/play", v.request(post, api+"play", asJSON, `{"provider":"pleasesign","story":"one-signer","pause_ms":-1}`))
	v.wants(http.StatusNotFound, "/api/play", v.request(post, api+"play", asJSON, `{"provider":"pleasesign","story":"none"}`))
	v.wants(http.StatusNoContent, "/api/faults", v.request(post, api+"faults", asJSON, `{"target":"vonage","mode":"throttle","count":3}`))
	unknown := v.wants(http.StatusBadRequest, "/api/faults", v.request(post, api+"faults", asJSON, `{"target":"unknown","mode":"throttle"}`))
	var documented []string
	for _, value := range v.o.model.Components.Schemas["Fault"].Value.Properties["target"].Value.Enum {
		documented = append(documented, fmt.Sprint(value))
	}
	if want := "target is one of " + strings.Join(documented, ", "); !strings.Contains(string(unknown.body), want) {
		v.t.Errorf("docs/openapi.yaml: the enum of Fault.target is %q, and the sandbox says %s", documented, unknown.body)
	}
	v.wants(http.StatusOK, "/api/files", v.request(get, api+"files", nil, ""))
	v.wants(http.StatusOK, "/api/faults", v.request(get, api+"faults", nil, ""))
	v.wants(http.StatusNoContent, "/api/faults", v.request(remove, api+"faults", nil, ""))
	for path, methods := range map[string][]string{"messages": {remove}, "play": {post}, "faults": {post, remove}} {
		for _, method := range methods {
			v.wants(http.StatusForbidden, "/api/"+path, v.request(method, api+path, fromElsewhere, "{}"))
		}
	}
}
