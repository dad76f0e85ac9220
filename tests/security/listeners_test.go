package security

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// guesses is the number of links that a client may open in a minute here.
const guesses = 40

// The listeners of standalone with default settings: operators' routes are not on the public listeners.
func TestListeners(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t, fmt.Sprintf("SIGNRELAY_SHORTENER_PER_MINUTE=%d", guesses))
	admin := strings.TrimPrefix(h.Processes["signrelay"].AdminURL(), "http://")
	t.Run("operators'", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/metrics", "/livez", "/readyz", "/readyz?verbose", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
			if a := get(t, h.IngestURL+path); a.status != http.StatusNotFound {
				t.Errorf("%s on the public listener: %d", path, a.status)
			}
			want := http.StatusOK
			if strings.HasPrefix(path, "/debug/") { // only by setting
				want = http.StatusNotFound
			}
			if a := get(t, "http://"+admin+path); a.status != want {
				t.Errorf("%s on the admin listener: %d, want %d", path, a.status, want)
			}
		}
		for _, path := range []string{"/api/messages", "/api/play", "/api/faults", "/sms/json", "/v1.1/requests/x", "/emails/1"} {
			if a := get(t, h.IngestURL+path); a.status != http.StatusNotFound {
				t.Errorf("%s on the public listener: %d", path, a.status)
			}
		}
		for _, listener := range []string{admin, h.SandboxURL, h.NATSURL, h.Address("SIGNRELAY_SMTP_ADDR")} {
			if !strings.Contains(listener, "127.0.0.1") {
				t.Errorf("%s is not only on loopback", listener)
			}
		}
	})
	t.Run("private listeners under foreign names", func(t *testing.T) {
		t.Parallel()
		foreignNames(t, "http://"+admin, h.SandboxURL)
	})
	t.Run("private listeners in a browser's requests", func(t *testing.T) {
		t.Parallel()
		crossProtocol(t, h)
	})
	t.Run("the sandbox's, from another site's page", func(t *testing.T) { sandboxFromAnotherSite(t, h) })
	t.Run("guessed links", func(t *testing.T) { guessedLinks(t, h) })
}

func get(t *testing.T, target string, headers ...string) response {
	t.Helper()
	header := http.Header{"User-Agent": {phone}}
	for i := 0; i < len(headers); i += 2 {
		header[headers[i]] = []string{headers[i+1]}
	}
	a, err := call(http.MethodGet, target, header, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A page of another site in the operator's browser must not play stories, clear messages, set faults or sign documents here.
func sandboxFromAnotherSite(t *testing.T, h *testenv.Env) {
	t.Helper()
	documents := h.Play(t, "clickwrap", "one-signer")
	if len(documents) == 0 {
		t.Fatal("no story was played")
	}
	h.Until(t, "the messages have arrived", func() bool { return len(h.Messages(t)) > 0 })
	for name, header := range map[string]http.Header{
		"another site":               {"Sec-Fetch-Site": {"cross-site"}},
		"a site of the same domain":  {"Sec-Fetch-Site": {"same-site"}},
		"an old browser":             {"Origin": {"https://evil.example"}},
		"a null origin":              {"Origin": {"null"}},
		"a host that equals its own": {"Origin": {"https://evil.example"}, "X-Forwarded-Host": {"evil.example"}},
	} {
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/api/play", `{"provider":"clickwrap","story":"one-signer"}`},
			{"POST", "/api/faults", `{"party":"vonage","count":1,"kind":"refuse"}`},
			{"DELETE", "/api/messages", ""},
			{"DELETE", "/api/faults", ""},
			{"POST", "/sign/" + documents[0] + "/x", "action=sign"},
		} {
			a, err := call(c.method, h.SandboxURL+c.path, header, strings.NewReader(c.body))
			if err != nil || a.status != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d %v", name, c.method, c.path, a.status, err)
			}
		}
	}
	if len(h.Messages(t)) == 0 {
		t.Error("the messages are gone")
	}
	if a, err := call("DELETE", h.SandboxURL+"/api/messages", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil); err != nil || a.status != http.StatusNoContent {
		t.Errorf("from its own page: %d %v", a.status, err)
	}
	if a := get(t, h.SandboxURL+"/"); a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the page's headers: %v", a.header)
	}
}

// Every made-up code gets the same response, so guesses reveal nothing, and the number of guesses is limited.
func guessedLinks(t *testing.T, h *testenv.Env) {
	t.Helper()
	h.Play(t, "clickwrap", "one-signer")
	var code string
	h.Until(t, "a link has arrived", func() bool {
		for _, m := range h.Messages(t) {
			if _, behind, ok := strings.Cut(m.Text, "/l/"); ok {
				code = behind[:14]
			}
		}
		return code != ""
	})
	links := h.IngestURL + "/l/"
	if a := get(t, links+code); a.status != http.StatusFound || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("a real code: %d %v", a.status, a.header)
	}
	near := code[:13] + "a"
	if near == code {
		near = code[:13] + "b"
	}
	pages := map[string]string{}
	for _, guess := range []string{
		near, "aaaaaaaaaaaaaa", code[:13], code + "a", strings.ToUpper(code), "code." + code, "pair.x", "%2e%2e", code + "%00", code + "%2fx", "*", "%3e", "%c3%a9", code[:13] + fmt.Sprintf("%%%x", code[13]), fmt.Sprintf("%%%x", code[0]) + code[1:],
		strings.Repeat("a", 4_000), "%3cscript%3e",
	} {
		a := get(t, links+guess)
		if a.status != http.StatusNotFound {
			t.Errorf("%.30s: %d", guess, a.status)
		}
		a.header.Del("Date")
		pages[a.text+fmt.Sprint(a.header)] = guess
	}
	if len(pages) != 1 {
		t.Errorf("guesses can be distinguished: %v", pages)
	}
	// A client cannot claim another address: no proxy of ours is in front of this listener.
	limited := 0
	for i := range 2 * guesses {
		a := get(t, links+"aaaaaaaaaaaaaa", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Real-Ip", fmt.Sprintf("198.51.100.%d", i), "Forwarded", fmt.Sprintf("for=198.51.100.%d", i))
		if a.status == http.StatusTooManyRequests {
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Error("a refusal for too many guesses has no Retry-After")
			}
		}
	}
	if limited < guesses/2 {
		t.Errorf("%d of %d guesses beyond the limit were refused", limited, 2*guesses)
	}
	// Guesses do not lock out a signer at the same address, such as behind a proxy that is not in the settings.
	if a := get(t, links+code); a.status != http.StatusFound || a.header.Get("Location") == "" {
		t.Errorf("a real code beyond the limit of guesses: %d", a.status)
	}
	if a := get(t, links+"aaaaaaaaaaaaaa"); a.status != http.StatusTooManyRequests {
		t.Errorf("another guess: %d", a.status)
	}
}

// If a page's name resolves to a listener of ours (DNS rebinding), the listener is the page's own origin. Only the Host header distinguishes its requests from the operator's.
func foreignNames(t *testing.T, admin, sandbox string) {
	t.Helper()
	call := func(base, method, path, host string) response {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(`{"target":"vonage","mode":"slow"}`))
		if err != nil {
			t.Fatal(err)
		}
		if r.Header.Set("Content-Type", "application/json"); host != "" {
			r.Host = host
			r.Header.Set("Origin", "http://"+host)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		resp, err := outsider.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return response{status: resp.StatusCode, header: resp.Header, text: string(text)}
	}
	for _, c := range []struct{ base, method, path string }{
		{admin, "GET", "/metrics"}, {admin, "GET", "/readyz?verbose"}, {admin, "GET", "/livez"}, {admin, "GET", "/debug/pprof/cmdline"},
		{sandbox, "GET", "/"}, {sandbox, "GET", "/api/messages"}, {sandbox, "GET", "/api/stories"}, {sandbox, "POST", "/api/faults"},
		{sandbox, "DELETE", "/api/faults"}, {sandbox, "GET", "/emails/1"}, {sandbox, "POST", "/sms/json"}, {sandbox, "GET", "/document/x"},
	} {
		_, port, _ := strings.Cut(strings.TrimPrefix(c.base, "http://"), ":")
		for _, host := range []string{
			"evil.example", "evil.example:" + port, "127.0.0.1.evil.example:" + port, "localhost.evil.example:" + port, "sandbox:" + port, "2130706433:" + port, "xn--lcalhost-b1a:" + port,
		} {
			if a := call(c.base, c.method, c.path, host); a.status != http.StatusMisdirectedRequest || strings.Contains(a.text, host) || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s as %s: %d %.80s", c.method, c.path, host, a.status, a.text)
			}
		}
		for _, host := range []string{"", "localhost:" + port, "[::1]:" + port, "10.1.2.3:" + port, "sandbox.localhost:" + port} {
			if a := call(c.base, c.method, c.path, host); a.status == http.StatusMisdirectedRequest || a.header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s %s as %q: %d", c.method, c.path, host, a.status)
			}
		}
	}
	// A page of another site without DNS rebinding: a form may post text, and JSON is text.
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, sandbox+"/api/faults", strings.NewReader(`{"target":"vonage","mode":"slow"}`))
		r.Header["Content-Type"] = []string{media}
		resp, err := outsider.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("a body of type %q: %d", media, resp.StatusCode)
		}
	}
	// A redirect would repeat the query with its contents.
	for _, path := range []string{"//metrics?token=a", "//document/x?token=a", "/api//messages?token=a", "/./metrics?token=a"} {
		for _, base := range []string{admin, sandbox} {
			if a := get(t, base+path); a.status != http.StatusNotFound || a.header.Get("Location") != "" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
		}
	}
}

// A browser sends a form to any port. The lines of the form must not be commands there.
func crossProtocol(t *testing.T, h *testenv.Env) {
	t.Helper()
	email := "EHLO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<smuggled@acme.example>\r\nDATA\r\nFrom: a@acme.example\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
	talk := func(address, text string) string {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, text)
		output, _ := io.ReadAll(conn)
		return string(output)
	}
	mail := h.Address("SIGNRELAY_SMTP_ADDR")
	for _, first := range []string{"POST / HTTP/1.1\r\n\r\n", "PUT / HTTP/1.0\r\n", "GET /", "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"} {
		if output := talk(mail, first+email); strings.Contains(output, "\n250") {
			t.Errorf("%q at the mail server: %q", first, output)
		}
	}
	if output := talk(mail, strings.Replace(email, "smuggled", "honest", 1)); !strings.Contains(output, "\n250") {
		t.Errorf("an e-mail at the mail server: %q", output)
	}
	for _, m := range h.Messages(t) {
		if strings.Contains(m.To, "smuggled") {
			t.Error("a form sent an e-mail")
		}
	}
	nats := strings.TrimPrefix(h.NATSURL, "nats://")
	if i := strings.LastIndex(nats, "@"); i >= 0 {
		nats = nats[i+1:]
	}
	output := talk(nats, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nCONNECT {}\r\nPUB dlq.v1.smuggled 2\r\nhi\r\nPING\r\n")
	if strings.Contains(output, "PONG") {
		t.Errorf("a form at the NATS server: %q", output)
	}
	if n := h.Count(t, "DLQ", "dlq.v1.smuggled"); n != 0 {
		t.Error("a form stored a message")
	}
}

// If the settings hide the sources, the response does not show whether a source exists.
func TestHiddenSources(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t, "SIGNRELAY_HIDE_SOURCES=true")
	open := testenv.Standalone(t)
	json, form := "application/json", "application/x-www-form-urlencoded"
	for _, c := range []struct{ method, path, media, body string }{
		{"POST", "/webhooks/clickwrap/%s", json, `{}`}, {"POST", "/webhooks/clickwrap/%s", "text/xml", `{}`}, {"PUT", "/webhooks/clickwrap/%s", json, `{}`},
		{"GET", "/webhooks/clickwrap/%s?event_type=x", "", ""}, {"POST", "/webhooks/clickwrap/%s/all", json, `{}`}, {"POST", "/webhooks/clickwrap/%s/", json, `{}`},
		{"POST", "/webhooks/pleasesign/%s", json, `{}`}, {"POST", "/webhooks/pleasesign/%s", json, strings.Repeat(" ", 2<<20)},
		{"POST", "/webhooks/esign-v1/%s/all", form, "data=[]"}, {"POST", "/webhooks/esign-v1/%s/signed?token=x", form, "json_signed={}"}, {"POST", "/webhooks/esign-v1/%s", form, "data=[]"},
		{"POST", "/receipts/vonage/%s", json, `{}`}, {"GET", "/receipts/vonage/%s?msisdn=1&sig=x", "", ""},
	} {
		say := func(h *testenv.Env, source string) string {
			a, err := call(c.method, h.IngestURL+fmt.Sprintf(c.path, source), http.Header{"Content-Type": {c.media}}, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			a.header.Del("Date")
			return fmt.Sprintln(a.status, a.header, a.text)
		}
		if known, unknown := say(h, "demo"), say(h, "unknown"); known != unknown {
			t.Errorf("%s %s: %s\nand of an unknown source: %s", c.method, c.path, known, unknown)
		}
	}
	if a := get(t, open.IngestURL+"/webhooks/clickwrap/unknown"); a.status != http.StatusNotFound {
		t.Errorf("without the setting, an unknown source: %d", a.status)
	}
	if documents := h.Play(t, "clickwrap", "one-signer"); len(documents) == 0 {
		t.Error("no callback was accepted")
	}
}
