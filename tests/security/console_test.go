package security

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

const consolePassword = "correct horse battery"

// consoleUsers has a user for each role, by its name. Each hash takes 100 ms, so they are made once.
var consoleUsers = sync.OnceValue(func() string {
	var lines []string
	for _, role := range consolesettings.Roles {
		line, err := console.UserLine(role, consolePassword, []string{role})
		if err != nil {
			panic(err)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
})

// consoleUnderAttack is a console with a real broker, and users.
type consoleUnderAttack struct {
	*servicetest.Bench
	t   *testing.T
	url string
}

func openConsole(t *testing.T) *consoleUnderAttack {
	t.Helper()
	realtest.Server(t, "NATS")
	cfg := config.Default().With(consolesettings.Section)
	cfg.Sources = []config.Source{providers.NewSource("pleasesign", "acme", "webhook.secrets=test")}
	consolesettings.Section.In(&cfg).Users = consoleUsers()
	b := servicetest.New(t, cfg)
	s, err := console.New(b.Env)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return &consoleUnderAttack{Bench: b, t: t, url: server.URL}
}

func (c *consoleUnderAttack) client() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c *consoleUnderAttack) do(client *http.Client, method, path string, form url.Values, header ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return response, ""
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(body)
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (c *consoleUnderAttack) tokenAt(client *http.Client, path string) string {
	c.t.Helper()
	_, page := c.do(client, http.MethodGet, path, nil)
	found := formToken.FindStringSubmatch(page)
	if found == nil {
		c.t.Fatalf("%s has no form with a token: %s", path, page)
	}
	return found[1]
}

func (c *consoleUnderAttack) signIn(client *http.Client, name, password, next string) *http.Response {
	c.t.Helper()
	response, _ := c.do(client, http.MethodPost, "/signin", url.Values{"token": {c.tokenAt(client, "/signin")}, "name": {name}, "password": {password}, "next": {next}})
	return response
}

// Each route has a role. A reader without it gets nothing, whatever the route: without a sign-in, and with each of the other roles.
func TestConsoleRolesHold(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	clients := map[string]*http.Client{}
	for _, role := range consolesettings.Roles {
		clients[role] = c.client()
		c.signIn(clients[role], role, consolePassword, "/")
	}
	names := map[string]console.Role{"look": console.Look, "operate": console.Look | console.Operate, "private": console.Look | console.Private, "erase": console.Look | console.Erase}
	// With the role, the page may still say that there is no such job or item, or that the form has no plan or no reason.
	allowed := map[int]bool{http.StatusOK: true, http.StatusNotFound: true, http.StatusGone: true, http.StatusBadRequest: true, http.StatusUnprocessableEntity: true, http.StatusServiceUnavailable: true} // 503: there is no index
	tried := 0
	for _, p := range console.Pages() {
		if p.Role == 0 {
			t.Errorf("%s %s has no role", p.Method, p.Path)
		}
		if p.Role == console.Anyone {
			continue
		}
		path := strings.NewReplacer("{$}", "", "{provider}", "pleasesign", "{name}", "acme", "{key}", "dead.1", "{id}", "none").Replace(p.Path)
		if response, body := c.do(c.client(), p.Method, path, nil, "Accept", "application/json"); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s without a sign-in: status %d: %s", p.Method, path, response.StatusCode, body)
		}
		if p.Path == "/mcp" { // a cookie does not count there: TestModelsRolesHold
			continue
		}
		for role, has := range names {
			var form url.Values
			if p.Method != http.MethodGet {
				form = url.Values{"token": {c.tokenAt(clients[role], "/me")}}
			}
			response, body := c.do(clients[role], p.Method, path, form, "Accept", "application/json")
			if tried++; has.Has(p.Role) && !allowed[response.StatusCode] || !has.Has(p.Role) && response.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s with the role %s: status %d: %.200s", p.Method, path, role, response.StatusCode, body)
			}
		}
	}
	if tried < 24 {
		t.Errorf("tried %d times", tried)
	}
}

// A page of another site cannot act for a reader: neither with a form that lacks the token, nor with another session's token, nor with a request
// that the browser marks as cross-site.
func TestConsoleRefusesForgedForms(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	victim, attacker := c.client(), c.client()
	c.signIn(victim, "operate", consolePassword, "/")
	c.signIn(attacker, "look", consolePassword, "/")
	const path = "/sources/pleasesign/acme"
	own := c.tokenAt(victim, "/me")
	for name, row := range map[string]struct {
		token  string
		header []string
	}{
		"no token":                {"", nil},
		"another session's token": {c.tokenAt(attacker, "/me"), nil},
		"another site":            {own, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}},
	} {
		if response, _ := c.do(victim, http.MethodPost, path, url.Values{"token": {row.token}}, row.header...); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", name, response.StatusCode)
		}
	}
	if response, _ := c.do(victim, http.MethodPost, path, url.Values{"token": {own}, "why": {"ticket 17"}}); response.StatusCode != http.StatusSeeOther {
		t.Errorf("the reader's own form: status %d", response.StatusCode)
	}
}

var inline = regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<script>|\son[a-z]+\s*=|\sstyle\s*=|<style|javascript:`)

// No page may be framed, and none runs a script or a style that is not a file of the console: also if it shows a hostile name.
func TestConsoleCannotBeFramedOrScripted(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	state, err := c.Env.JS.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	use, err := json.Marshal(flow.KeyUse{Setting: hostile, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Put(t.Context(), flow.KeyUseOf("pleasesign", "acme", "webhook.secrets[0]"), use); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Put(t.Context(), flow.ReconcileRun("pleasesign", "acme"), []byte(`{"last":{"error":"<script>alert(3)</script>","ended":"2026-11-29T00:00:00Z"}}`)); err != nil {
		t.Fatal(err)
	}
	reader := c.client()
	c.signIn(reader, "operate", consolePassword, "/")
	for _, path := range []string{"/", "/sources", "/sources/pleasesign/acme", "/subscribers", "/me", "/no-such-page", "/sources/pleasesign/<script>alert(4)<script>", "/sources?<script>=1"} {
		response, page := c.do(reader, http.MethodGet, path, nil)
		policy := response.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %q: %s", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %s", path, policy)
		}
		for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if found := inline.FindString(strings.ReplaceAll(page, "onerror=alert(2)", "")); found != "" {
			t.Errorf("%s has inline code: %q", path, found)
		}
	}
}

// A session id that an attacker knows is worth nothing after the sign-in, and after the sign-out neither is the user's own.
func TestConsoleSessionsCannotBeFixed(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	attacker := c.client()
	c.signIn(attacker, "look", consolePassword, "/")
	home, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	session := func(client *http.Client) string {
		for _, cookie := range client.Jar.Cookies(home) {
			if strings.HasSuffix(cookie.Name, "session") {
				return cookie.Value
			}
		}
		return ""
	}
	planted := session(attacker)
	victim := c.client()
	token := c.tokenAt(victim, "/signin")
	victim.Jar.SetCookies(home, []*http.Cookie{{Name: "signrelay-session", Value: planted, Path: "/"}})
	// With the attacker's session in the browser, the form's token is that session's.
	if page := c.tokenAt(victim, "/me"); page != "" {
		token = page
	}
	response, _ := c.do(victim, http.MethodPost, "/signin", url.Values{"token": {token}, "name": {"operate"}, "password": {consolePassword}})
	for _, cookie := range response.Cookies() {
		if strings.HasSuffix(cookie.Name, "session") && (!cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode) {
			t.Errorf("the cookie is %v", cookie)
		}
	}
	if now := session(victim); now == planted || now == "" {
		t.Fatalf("the sign-in kept the planted id: %t", now == planted)
	}
	if response, _ := c.do(attacker, http.MethodGet, "/me", nil); response.StatusCode != http.StatusSeeOther {
		t.Errorf("the planted session still works: status %d", response.StatusCode)
	}
	stolen := session(victim)
	c.do(victim, http.MethodPost, "/signout", url.Values{"token": {c.tokenAt(victim, "/me")}})
	thief := c.client()
	thief.Jar.SetCookies(home, []*http.Cookie{{Name: "signrelay-session", Value: stolen, Path: "/"}})
	if response, _ := c.do(thief, http.MethodGet, "/me", nil); response.StatusCode != http.StatusSeeOther {
		t.Errorf("the session works after the sign-out: status %d", response.StatusCode)
	}
}

// After the sign-in the browser stays on the console.
func TestConsoleLeadsToNoOtherSite(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	for _, next := range []string{"//evil.example", `/\evil.example`, "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "evil.example", "/%2f/evil.example/../..", "\\\\evil.example"} {
		response := c.signIn(c.client(), "look", consolePassword, next)
		to := response.Header.Get("Location")
		if u, err := url.Parse(to); err != nil || u.Host != "" || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\t") || !strings.HasPrefix(to, "/") {
			t.Errorf("next=%q leads to %q", next, to)
		}
	}
	if to := c.signIn(c.client(), "look", consolePassword, "/sources?time=utc").Header.Get("Location"); to != "/sources?time=utc" {
		t.Errorf("an own path leads to %q", to)
	}
}

// Passwords cannot be guessed: after five failures the name waits, also with the right password.
func TestConsolePasswordsCannotBeGuessed(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	guesser := c.client()
	for range 5 {
		if response := c.signIn(guesser, "erase", "a wrong password", "/"); response.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a wrong password: status %d", response.StatusCode)
		}
	}
	if response := c.signIn(guesser, "ERASE", consolePassword, "/"); response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("the sixth attempt: status %d", response.StatusCode)
	}
	if response := c.signIn(c.client(), "look", consolePassword, "/"); response.StatusCode != http.StatusSeeOther {
		t.Errorf("another user: status %d", response.StatusCode)
	}
}

// No address leads to a file outside the assets.
func TestConsoleServesNoOtherFile(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	reader := c.client()
	c.signIn(reader, "erase", consolePassword, "/")
	for _, path := range []string{
		"/assets/../templates/layout.html", "/assets/..%2ftemplates%2flayout.html", "/assets/%2e%2e/console.go", "/assets/console.css", `/assets/..\templates\layout.html`,
		"/assets//etc/passwd", "/assets/%00", "/sources/../../etc/passwd", "/sources/%2e%2e/acme", "/sources/pleasesign/..",
	} {
		if response, body := c.do(reader, http.MethodGet, path, nil); response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d: %.100s", path, response.StatusCode, body)
		}
	}
}

// A page that another site opened is not compressed: on the network, the length of a compressed page tells whether a text of its address is also a secret of
// the page (the attack BREACH). The reader's own page is compressed.
func TestConsoleCompressesNoPageOfAnotherSite(t *testing.T) {
	t.Parallel()
	c := openConsole(t)
	reader := c.client()
	c.signIn(reader, "look", consolePassword, "/")
	for _, row := range []struct {
		header []string
		zipped bool
	}{
		{[]string{"Sec-Fetch-Site", "none"}, true}, {[]string{"Sec-Fetch-Site", "same-origin"}, true}, {[]string{"Sec-Fetch-Site", "cross-site"}, false}, {[]string{"Sec-Fetch-Site", "same-site"}, false},
		{nil, false}, {[]string{"Sec-Fetch-Site", "same-origin", "Signrelay-Live", "1"}, false},
	} {
		response, _ := c.do(reader, http.MethodGet, "/", nil, append(row.header, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html", "Accept-Encoding", "gzip")...)
		if response.StatusCode != http.StatusOK || (response.Header.Get("Content-Encoding") == "gzip") != row.zipped || !strings.Contains(response.Header.Get("Vary"), "Sec-Fetch-Site") {
			t.Errorf("%v: status %d, encoding %q, vary %q", row.header, response.StatusCode, response.Header.Get("Content-Encoding"), response.Header.Get("Vary"))
		}
	}
}
