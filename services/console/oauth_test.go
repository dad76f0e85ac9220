package console_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// tokenServer is a provider's token address. It accepts the code "good" with the verifier of the challenge.
type tokenServer struct {
	*httptest.Server

	mu        sync.Mutex
	challenge string
}

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	p := &tokenServer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("code") != "good" || base64.RawURLEncoding.EncodeToString(sum[:]) != p.challenge {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"access_token":"secret-access","refresh_token":"secret-refresh","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(p.Close)
	return p
}

// A person signs in at a provider through the console: with PKCE and a state that belongs to the browser that began, once. A code of another sign-in, or
// one that comes to another browser, is refused.
func TestSourceSignsInThroughTheConsole(t *testing.T) {
	t.Parallel()
	realtest.Server(t, "NATS")
	p := newTokenServer(t)
	cfg := config.Default().With(consolesettings.Section)
	cfg.Sources = []config.Source{
		providers.NewSource("pleasesign", "onboarding", "webhook.secrets=test", "api.oauth.client_id=app", "api.oauth.client_secret=hush", "api.oauth.base_url="+p.URL),
		providers.NewSource("pleasesign", "keys", "webhook.secrets=test", "api.key=k", "api.secret=s"),
	}
	consolesettings.Section.In(&cfg).Users = line()
	b := (&bench{Bench: servicetest.New(t, cfg), t: t}).restart()
	mine, other := b.browser(), b.browser()
	for _, c := range []*http.Client{mine, other} {
		if response := b.signIn(c, "mara", goodPassword, "/"); response.StatusCode != http.StatusSeeOther {
			t.Fatalf("sign-in: %d", response.StatusCode)
		}
	}

	const path = "/sources/pleasesign/onboarding"
	if _, page := b.get(mine, path); !strings.Contains(page, "Nobody has signed in") || !strings.Contains(page, path+"/sign-in") {
		t.Errorf("the page before:\n%s", page)
	}
	begin := func() url.Values {
		response, body := b.get(mine, path+"/sign-in")
		to, err := url.Parse(response.Header.Get("Location"))
		if err != nil || response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), p.URL+"/oauth/authorize?") {
			t.Fatalf("the sign-in leads to %q: %d %s", response.Header.Get("Location"), response.StatusCode, body)
		}
		query := to.Query()
		p.mu.Lock()
		p.challenge = query.Get("code_challenge")
		p.mu.Unlock()
		if query.Get("code_challenge_method") != "S256" || !strings.HasSuffix(query.Get("redirect_uri"), path+"/sign-in/done") {
			t.Errorf("the sign-in's query: %v", query)
		}
		return url.Values{"state": {query.Get("state")}, "code": {"good"}}
	}
	done := func(c *http.Client, query url.Values) int {
		response, _ := b.get(c, path+"/sign-in/done?"+query.Encode())
		return response.StatusCode
	}
	back := begin()
	for name, c := range map[string]struct {
		browser *http.Client
		query   url.Values
		want    int
	}{
		"another browser":  {other, back, http.StatusForbidden},
		"another state":    {mine, url.Values{"state": {"x"}, "code": {"good"}}, http.StatusForbidden},
		"a person refused": {mine, url.Values{"state": begin()["state"], "error": {"access_denied"}}, http.StatusForbidden},
		"another code":     {mine, url.Values{"state": begin()["state"], "code": {"bad"}}, http.StatusBadGateway},
	} {
		if got := done(c.browser, c.query); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	back = begin()
	if got := done(mine, back); got != http.StatusSeeOther {
		t.Fatalf("the sign-in ended with %d", got)
	}
	if got := done(mine, back); got != http.StatusForbidden {
		t.Errorf("the same sign-in again: %d", got)
	}
	_, page := b.get(mine, path)
	if !strings.Contains(page, "A person signed in") || strings.Contains(page, "secret-") {
		t.Errorf("the page afterwards:\n%s", page)
	}
	if n := b.Count(flow.Signing, event.TypeFilter(event.OperatorActed)); n != 1 {
		t.Errorf("%d events of sign-ins", n)
	}
	if response, _ := b.get(mine, "/sources/pleasesign/keys/sign-in"); response.StatusCode != http.StatusNotFound {
		t.Errorf("a source with keys: %d", response.StatusCode)
	}
	b.NeverLogged("secret-access", "secret-refresh", "hush")
}
