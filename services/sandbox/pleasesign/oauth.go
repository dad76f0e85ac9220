package pleasesign

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// Lives of what an application gets.
const (
	codeLife   = 5 * time.Minute
	accessLife = time.Hour
)

// grants are the access that owners of accounts gave to applications: OAuth 2 with PKCE. A refresh token is used once; the one before it works until the
// new access token was used, so that a lost response of a renewal can be repeated.
type grants struct {
	now func() time.Time

	mu      sync.Mutex
	codes   map[string]code
	access  map[string]grant
	refresh map[string]grant
}

// code is an authorization code.
type code struct {
	source, client, redirect, challenge string
	until                               time.Time
}

// grant is a token. before is the refresh token that it replaces.
type grant struct {
	source, client, before string
	until                  time.Time // of an access token
}

func newGrants(now func() time.Time) *grants {
	return &grants{now: now, codes: map[string]code{}, access: map[string]grant{}, refresh: map[string]grant{}}
}

// used returns the source of an access token, and ends the refresh token before it.
func (g *grants) used(token string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.access[token]
	if !ok || g.now().After(found.until) {
		return "", false
	}
	delete(g.refresh, found.before)
	return found.source, true
}

// application returns the source whose application has this id.
func (p pleasesign) application(client string) (string, bool) {
	return p.SourceWith(name, func(s config.Source) bool { return client != "" && party.Same(client, s.Text("api.oauth.client_id")) })
}

var authorizePage = template.Must(template.New("authorize").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>PleaseSign (sandbox)</title>
<h1>PleaseSign (sandbox)</h1><p>An application asks for access to the account <b>{{.}}</b>.</p>
<form method="post"><button name="allow" value="yes">Allow</button> <button name="allow" value="no">Refuse</button></form></html>
`))

// getAuthorize serves GET /oauth/authorize: the page on which the owner of the account allows the application to use it.
func (p pleasesign) getAuthorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	source, ok := p.application(query.Get("client_id"))
	if !ok || query.Get("response_type") != "code" || query.Get("code_challenge_method") != "S256" || query.Get("code_challenge") == "" || query.Get("scope") != "business" {
		writeError(w, http.StatusBadRequest)
		return
	}
	party.WritePage(w, http.StatusOK, authorizePage, "default-src 'none'", source)
}

// postAuthorize serves the buttons of that page. It sends the browser to the application.
func (p pleasesign) postAuthorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	source, ok := p.application(query.Get("client_id"))
	to, err := url.Parse(query.Get("redirect_uri"))
	if !ok || err != nil || to.Host == "" {
		writeError(w, http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {query.Get("state")}}
	if r.FormValue("allow") == "yes" {
		c := party.RandomHex(16)
		p.grants.mu.Lock()
		p.grants.codes[c] = code{source, query.Get("client_id"), query.Get("redirect_uri"), query.Get("code_challenge"), p.Now().Add(codeLife)}
		p.grants.mu.Unlock()
		back.Set("code", c)
	} else {
		back.Set("error", "access_denied")
	}
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound) //nolint:gosec // to the application, as OAuth 2 does; the sandbox does not know the registered addresses
}

// postToken serves POST /oauth/token.
func (p pleasesign) postToken(w http.ResponseWriter, r *http.Request) {
	g, refused := p.grants, func(word string) {
		party.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": word})
	}
	source, ok := p.application(r.PostFormValue("client_id"))
	if !ok || !p.Knows(name, func(s config.Source) bool {
		return s.Name == source && party.Same(r.PostFormValue("client_secret"), s.Text("api.oauth.client_secret"))
	}) {
		refused("invalid_client")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	before := ""
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		c, ok := g.codes[r.PostFormValue("code")]
		delete(g.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || g.now().After(c.until) || c.client != r.PostFormValue("client_id") || c.redirect != r.PostFormValue("redirect_uri") ||
			c.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			refused("invalid_grant")
			return
		}
	case "refresh_token":
		before = r.PostFormValue("refresh_token")
		if is, ok := g.refresh[before]; !ok || is.client != r.PostFormValue("client_id") {
			refused("invalid_grant")
			return
		}
	default:
		refused("unsupported_grant_type")
		return
	}
	access, refresh := party.RandomHex(20), party.RandomHex(20)
	g.access[access] = grant{source, r.PostFormValue("client_id"), before, g.now().Add(accessLife)}
	g.refresh[refresh] = grant{source: source, client: r.PostFormValue("client_id")}
	party.WriteJSON(w, http.StatusOK, map[string]any{
		"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": int(accessLife / time.Second), "scope": "business",
	})
}
