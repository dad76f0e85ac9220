package ingest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/services/ingest"
)

// expecting returns packs and one more. The provider of that pack expects a fixed text with status 200 for every result of a callback, and
// verifies an address. It signs the challenges to its route /signed.
func expecting(t *testing.T) []pack.Pack {
	t.Helper()
	clickwrap, _ := providers.ByName("clickwrap")
	respond := func(pack.Request, pack.Result) *pack.Response {
		return &pack.Response{Status: 200, ContentType: "text/plain", Body: "Callback received", Header: http.Header{"X-Received-By": {"signrelay"}}}
	}
	route := func(path string, signed bool) pack.Route {
		return pack.Route{
			Path: path, Methods: []string{"POST"}, ContentTypes: []string{"application/json"}, Respond: respond,
			Challenge: &pack.Challenge{Methods: []string{"GET", "POST", "OPTIONS"}, Signed: signed, Respond: echo},
		}
	}
	clickwrap.Routes = []pack.Route{route("", false), route("/signed", true)}
	for _, r := range clickwrap.Routes {
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return []pack.Pack{clickwrap}
}

func echo(r pack.Request) *pack.Response {
	var body struct{ Challenge string }
	switch origin := r.Header.Get("Webhook-Request-Origin"); {
	case r.Method == "GET" && r.Query.Has("challenge"):
		return &pack.Response{Status: 200, ContentType: "text/plain", Body: r.Query.Get("challenge")}
	case r.Method == "OPTIONS" && origin != "":
		return &pack.Response{Status: 204, Header: http.Header{"Webhook-Allowed-Origin": {origin}}}
	case r.Method == "POST" && json.Unmarshal(r.Body, &body) == nil && strings.HasPrefix(body.Challenge, "panic"):
		panic("the pack has a fault")
	case body.Challenge != "":
		return &pack.Response{Status: 200, ContentType: "application/json", Body: string(r.Body)}
	}
	return nil
}

// raw makes a request and returns its whole response.
func (h *harness) raw(t *testing.T, method, path string, header http.Header, body string) (status int, _ http.Header, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(all)
}

func TestAProviderThatExpectsAFixedText(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWith(expecting(t)), onlyClickwrap)
	authentic := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
	for _, c := range []struct{ name, body string }{{"accepted", requestSent}, {"duplicate", requestSent}, {"quarantined", "{"}} {
		status, header, text := h.raw(t, "POST", "/webhooks/clickwrap/acme", authentic, c.body)
		if status != 200 || text != "Callback received" || header.Get("Content-Type") != "text/plain" || header.Get("X-Received-By") != "signrelay" {
			t.Errorf("%s: %d %v %q", c.name, status, header, text)
		}
	}
	if stored, kept := len(h.stored(t, "signing.v1.>")), len(h.quarantined(t)); stored != 1 || kept != 1 {
		t.Errorf("%d events, %d in quarantine; want 1 of each", stored, kept)
	}
	for _, outcome := range []string{"accepted", "duplicate"} {
		if n := h.metric(t, "signrelay_ingest_requests_total", ofAcme(outcome)); n != 1 {
			t.Errorf("%s: counted %v times", outcome, n)
		}
	}
	// A refusal is in ingest's own format.
	if got := h.send(t, "POST", "/webhooks/clickwrap/acme", nil, strings.NewReader(requestSent)); got.status != 401 || got.contentType != "application/problem+json" {
		t.Errorf("unauthentic: %+v", got)
	}
}

func TestAProviderThatVerifiesTheAddress(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWith(expecting(t)), onlyClickwrap)
	for _, c := range []struct {
		method, query, body string
		header              http.Header
		status              int
		text, origin        string
	}{
		{"GET", "?challenge=7f3a", "", nil, 200, "7f3a", ""},
		{"POST", "", `{"challenge":"7f3a"}`, http.Header{"Content-Type": {"application/json"}}, 200, `{"challenge":"7f3a"}`, ""},
		{"OPTIONS", "", "", http.Header{"Webhook-Request-Origin": {"provider.example"}}, 204, "", "provider.example"},
	} {
		check := func(name, path string, credentials http.Header, want int) {
			t.Helper()
			header := http.Header{}
			for _, part := range []http.Header{c.header, credentials} {
				for key, values := range part {
					header[key] = values
				}
			}
			status, got, text := h.raw(t, c.method, "/webhooks/clickwrap/acme"+path+c.query, header, c.body)
			if status != want || status < 300 && (text != c.text || got.Get("Webhook-Allowed-Origin") != c.origin || got.Get("X-Content-Type-Options") != "nosniff") {
				t.Errorf("%s, %s: %d %v %q", c.method, name, status, got, text)
			}
			if status > 300 && (strings.Contains(text, "7f3a") || got.Get("Webhook-Allowed-Origin") != "") {
				t.Errorf("%s, %s: the refusal repeats the challenge: %v %q", c.method, name, got, text)
			}
		}
		check("not signed", "", nil, c.status)
		check("signed", "/signed", http.Header{"Pactsafe-Webhook-Token": {"12345"}}, c.status)
		check("signed by another", "/signed", http.Header{"Pactsafe-Webhook-Token": {"54321"}}, 401)
		check("not signed", "/signed", nil, 401)
	}
	// A challenge is not a callback: ingest stores nothing, and does not report that the provider called.
	if stored, kept := len(h.stored(t, "signing.v1.>")), len(h.quarantined(t)); stored+kept != 0 {
		t.Errorf("%d events, %d in quarantine", stored, kept)
	}
	if n := h.metric(t, "signrelay_ingest_requests_total", ofAcme("challenge")); n != 6 {
		t.Errorf("%v challenges counted, want 6", n)
	}
	if at := h.metric(t, "signrelay_ingest_last_callback_timestamp_seconds", map[string]string{"source": "acme", "provider": "clickwrap"}); at != 0 {
		t.Errorf("the metric has a callback at %v", at)
	}
	// Without a challenge, the methods are those of callbacks.
	authentic := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
	if status, header, _ := h.raw(t, "GET", "/webhooks/clickwrap/acme", authentic, ""); status != 405 || !slices.Equal(header["Allow"], []string{"POST"}) {
		t.Errorf("a GET without a challenge: %d %v", status, header)
	}
	if status, _, _ := h.raw(t, "PUT", "/webhooks/clickwrap/acme", authentic, ""); status != 405 {
		t.Errorf("PUT: %d", status)
	}
	// If a pack panics while it checks a callback for a challenge, the callback is not lost.
	status, _, text := h.raw(t, "POST", "/webhooks/clickwrap/acme", authentic, `{"challenge":"panic",`+requestSent[1:])
	if stored := len(h.stored(t, "signing.v1.>")); status != 200 || text != "Callback received" || stored != 1 {
		t.Errorf("after a panic: %d %q, %d events stored", status, text, stored)
	}
}

// If the settings hide the sources, the response to a challenge does not show which sources exist.
func TestAChallengeShowsNoSource(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWith(expecting(t)), onlyClickwrap, func(c *config.Config) { c.HideSources = true })
	for _, path := range []string{"", "/signed"} {
		for _, challenge := range []string{"?challenge=7f3a", ""} {
			knownStatus, _, known := h.raw(t, "GET", "/webhooks/clickwrap/acme"+path+challenge, nil, "")
			otherStatus, _, other := h.raw(t, "GET", "/webhooks/clickwrap/unknown"+path+challenge, nil, "")
			if knownStatus != otherStatus || known != other {
				t.Errorf("%q%s: %d %q, but %d %q for a source that does not exist", path, challenge, knownStatus, known, otherStatus, other)
			}
		}
	}
}

func ofAcme(outcome string) map[string]string {
	return map[string]string{"source": "acme", "provider": "clickwrap", "outcome": outcome, "reason": ""}
}

func onlyClickwrap(c *config.Config) { c.Sources = c.Sources[:1] }
