package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/registration"
)

var sourceSignInPages = []Page{
	{"GET", "/sources/{provider}/{name}/sign-in", Operate, "sources", nil, beginSourceSignIn},
	{"GET", "/sources/{provider}/{name}/sign-in/done", Operate, "sources", []string{"code", "state", "error", "error_description", "error_uri", "iss"}, endSourceSignIn},
}

// access is the access of sources' applications to the providers' APIs.
type access struct {
	tokens *oauth.Store

	mu    sync.Mutex
	begun map[string]sourceSignIn // by state
}

// sourceSignIn is a sign-in on its way through a provider. It is used once, by the session that began it.
type sourceSignIn struct {
	oauth.SignIn

	session, source string
	until           time.Time
}

// Access is the state of a source's application, without its tokens.
type Access struct {
	oauth.Status

	// Begin is the path at which a person signs in.
	Begin string `json:"sign_in"`
}

func (s *Server) openAccess() *access {
	return &access{tokens: oauth.NewStore(s.env.JS, keyring.New(s.env.Config.MasterKeys()), nil), begun: map[string]sourceSignIn{}}
}

// accessOf returns the state of a source's application; nil if the source has other credentials.
func (s *Server) accessOf(ctx context.Context, src config.Source) (*Access, error) {
	app, used := providers.OAuth(src)
	if !used {
		return nil, nil //nolint:nilnil // there is none
	}
	is, err := s.access.tokens.Source(src.Provider, src.Name, app).Status(ctx)
	if err != nil {
		return nil, err
	}
	return &Access{is, "/sources/" + src.Provider + "/" + src.Name + "/sign-in"}, nil
}

// application returns the source that the path names, and the tokens of its application.
func (r *Request) application() (config.Source, *oauth.Source, error) {
	src, err := r.source()
	if err != nil {
		return src, nil, err
	}
	back := "/sources/" + src.Provider + "/" + src.Name
	app, used := providers.OAuth(src)
	switch {
	case !used:
		return src, nil, &Problem{Status: http.StatusNotFound, Title: "This source needs no sign-in", Detail: "Its settings have no application: api.oauth.client_id is empty.", Back: back}
	case r.Console.settings.Now().ReadOnly:
		return src, nil, &Problem{Status: http.StatusForbidden, Title: "The console is read-only", Detail: "The setting console.read_only is true. Nothing was done.", Back: back}
	}
	return src, r.Console.access.tokens.Source(src.Provider, src.Name, app), nil
}

// beginSourceSignIn sends the browser to the provider.
func beginSourceSignIn(r *Request) (View, error) {
	src, tokens, err := r.application()
	if err != nil {
		return View{}, err
	}
	in := tokens.SignIn(r.Console.home() + "/sources/" + src.Provider + "/" + src.Name + "/sign-in/done")
	a := r.Console.access
	a.mu.Lock()
	for state, old := range a.begun {
		if r.Now.After(old.until) || len(a.begun) >= mostBegun {
			delete(a.begun, state)
		}
	}
	a.begun[in.State] = sourceSignIn{in, r.id, src.Provider + "/" + src.Name, r.Now.Add(signInWithin)}
	a.mu.Unlock()
	return View{Raw: func(w http.ResponseWriter) { http.Redirect(w, r.Request, in.URL, http.StatusSeeOther) }}, nil
}

// endSourceSignIn receives the browser from the provider, and stores the tokens.
func endSourceSignIn(r *Request) (View, error) {
	src, tokens, err := r.application()
	if err != nil {
		return View{}, err
	}
	back, query := "/sources/"+src.Provider+"/"+src.Name, r.URL.Query()
	refused := func(detail string) (View, error) {
		return View{}, &Problem{Status: http.StatusForbidden, Title: "The sign-in did not succeed", Detail: detail, Back: back}
	}
	a := r.Console.access
	a.mu.Lock()
	in, ok := a.begun[query.Get("state")]
	if ok && in.session == r.id && in.source == src.Provider+"/"+src.Name {
		delete(a.begun, query.Get("state"))
	} else {
		ok = false
	}
	a.mu.Unlock()
	switch {
	case !ok || r.Now.After(in.until):
		return refused("It was not begun in this browser, or it took too long. Begin again.")
	case query.Get("error") != "":
		return refused("The provider gave no access: the person refused, or the application is not approved.")
	}
	if err := tokens.End(r.Context(), in.SignIn, query.Get("code")); err != nil {
		r.Console.env.Log.WarnContext(r.Context(), "a sign-in at a provider failed", "source", src.Name, "provider", src.Provider, "error", err)
		return View{}, &Problem{Status: http.StatusBadGateway, Title: "The provider did not complete the sign-in", Detail: "The log of the console has the reason. Begin again.", Back: back}
	}
	if err := registration.Acted(r.Context(), r.Console.env.JS, src, registration.Order{Action: "sign-in", By: cmp.Or(r.Reader.Name, r.Reader.Via), Count: 1}); err != nil {
		return View{}, errors.Join(errors.New("the access is stored, but the event of it is not"), err)
	}
	return View{Next: back}, nil
}
