package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/signrelay/signrelay/libs/config"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// signInWithin is the time for a sign-in, from its page to its end.
const signInWithin = 15 * time.Minute

// identity is the sign-in at an identity provider.
type identity struct {
	settings *config.Current[consolesettings.Console]
	groups   map[string][]string
	client   *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // discovered at the first use: the console starts while the provider is away
	begun    map[string]begun
}

// begun is a sign-in on its way through the identity provider. It is used once.
type begun struct {
	browser, nonce, verifier, next string
	until                          time.Time
}

// mostBegun bounds the memory of sign-ins that were begun; the oldest ones are forgotten.
const mostBegun = 10_000

func newIdentity(now consolesettings.Console, settings *config.Current[consolesettings.Console]) (*identity, error) {
	groups, err := consolesettings.ParseGroups(now.OIDC.Roles)
	if err != nil {
		return nil, fmt.Errorf("console.oidc.roles: %w", err)
	}
	return &identity{settings: settings, groups: groups, client: &http.Client{Timeout: 10 * time.Second}, begun: map[string]begun{}}, nil
}

// discover returns the provider's description, from its well-known address.
func (i *identity) discover(ctx context.Context) (*oidc.Provider, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.provider != nil {
		return i.provider, nil
	}
	// The provider keeps the context for its keys, so it must not end with the request.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), i.client), i.settings.Now().OIDC.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the description of the identity provider: %w", err)
	}
	i.provider = p
	return p, nil
}

func (i *identity) oauth(p *oidc.Provider) *oauth2.Config {
	s := i.settings.Now()
	return &oauth2.Config{
		ClientID: s.OIDC.ClientID, ClientSecret: s.OIDC.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: strings.TrimSuffix(s.URL, "/") + "/signin/oidc/callback", Scopes: append([]string{oidc.ScopeOpenID}, s.OIDC.Scopes...),
	}
}

// beginOIDC sends the browser to the identity provider, with a state, a nonce and a PKCE challenge. A cookie binds the state to the browser.
func beginOIDC(r *Request) (View, error) {
	i := r.Console.oidc
	if i == nil {
		return View{}, &Problem{Status: http.StatusNotFound, Title: "There is no single sign-on", Detail: "The setting console.oidc.issuer is empty.", Back: "/signin"}
	}
	p, err := i.discover(r.Context())
	if err != nil {
		return View{}, i.away(r, err)
	}
	state := random()
	b := begun{browser: random(), nonce: random(), verifier: oauth2.GenerateVerifier(), next: ownPath(r.URL.Query().Get("next")), until: r.Now.Add(signInWithin)}
	i.mu.Lock()
	for other, old := range i.begun {
		if r.Now.After(old.until) || len(i.begun) >= mostBegun {
			delete(i.begun, other)
		}
	}
	i.begun[state] = b
	i.mu.Unlock()
	http.SetCookie(r.writer, r.Console.cookie("oidc", b.browser, signInWithin))
	to := i.oauth(p).AuthCodeURL(state, oidc.Nonce(b.nonce), oauth2.S256ChallengeOption(b.verifier))
	return View{Raw: func(w http.ResponseWriter) { http.Redirect(w, r.Request, to, http.StatusSeeOther) }}, nil
}

// away reports that the identity provider does not respond.
func (i *identity) away(r *Request, err error) error {
	r.Console.env.Log.WarnContext(r.Context(), "the identity provider cannot be used", "error", err)
	return &Problem{Status: http.StatusBadGateway, Title: "The identity provider cannot be used now", Detail: "It did not respond as expected. The log of the console has the reason.", Back: "/signin"}
}

// endOIDC receives the browser from the identity provider, and signs the user in.
func endOIDC(r *Request) (View, error) {
	i, query := r.Console.oidc, r.URL.Query()
	refused := func(detail string) (View, error) {
		return View{}, &Problem{Status: http.StatusForbidden, Title: "The sign-in did not succeed", Detail: detail, Back: "/signin"}
	}
	if i == nil {
		return refused("The setting console.oidc.issuer is empty.")
	}
	i.mu.Lock()
	b, ok := i.begun[query.Get("state")]
	delete(i.begun, query.Get("state"))
	i.mu.Unlock()
	if browser := r.Console.cookieOf(r.Request, "oidc"); !ok || r.Now.After(b.until) || browser == "" || browser != b.browser {
		return refused("It was not begun in this browser, or it took too long. Begin again.")
	}
	http.SetCookie(r.writer, r.Console.cookie("oidc", "", 0))
	if query.Get("error") != "" {
		return refused("The identity provider refused it. Ask its administrator whether you may use Signrelay.")
	}
	p, err := i.discover(r.Context())
	if err != nil {
		return View{}, i.away(r, err)
	}
	reader, err := i.reader(r.Context(), p, query.Get("code"), b)
	if err != nil {
		return View{}, i.away(r, err)
	}
	if !reader.Roles.Has(Look) {
		return refused("None of your groups has a role here. An administrator maps groups to roles in console.oidc.roles.")
	}
	r.begin(reader)
	return View{Next: b.next}, nil
}

// reader exchanges the code for an ID token, verifies the token, and maps its groups to roles.
func (i *identity) reader(ctx context.Context, p *oidc.Provider, code string, b begun) (Reader, error) {
	s := i.settings.Now().OIDC
	ctx = oidc.ClientContext(ctx, i.client)
	tokens, err := i.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(b.verifier))
	if err != nil {
		if refused := new(oauth2.RetrieveError); errors.As(err, &refused) { // its text has the response, which may contain tokens
			return Reader{}, fmt.Errorf("exchange the code: status %d, %q", refused.Response.StatusCode, refused.ErrorCode)
		}
		return Reader{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return Reader{}, errors.New("the response has no id_token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: s.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Reader{}, fmt.Errorf("verify the ID token: %w", err)
	}
	if id.Nonce != b.nonce {
		return Reader{}, errors.New("the ID token has another nonce")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return Reader{}, fmt.Errorf("read the claims: %w", err)
	}
	name := id.Subject
	for _, claim := range []string{"preferred_username", "email"} {
		if text, ok := claims[claim].(string); ok && text != "" && printableText(text, 64) {
			name = text
			break
		}
	}
	roles := slices.Clone(i.groups["*"])
	for _, group := range texts(claims[s.GroupsClaim]) {
		roles = append(roles, i.groups[group]...)
	}
	return Reader{Name: name, Roles: rolesOf(roles), Via: viaOIDC}, nil
}

// texts returns a claim that is a text or a list of texts.
func texts(claim any) (all []string) {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		for _, one := range c {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}
