package console

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Ways to sign in.
const (
	viaPassword = "password"
	viaOIDC     = "oidc"
	viaBasic    = "basic" // the password, with each request
)

var signInPages = []Page{
	{"GET", "/signin", Anyone, "", []string{"next"}, signInPage},
	{"POST", "/signin", Anyone, "", nil, signIn},
	{"POST", "/signout", Anyone, "", nil, signOut},
	{"GET", "/signin/oidc", Anyone, "", []string{"next"}, beginOIDC},
	{"GET", "/signin/oidc/callback", Anyone, "", []string{"code", "state", "error", "error_description", "error_uri", "iss", "session_state"}, endOIDC},
}

type signInData struct {
	Next     string `json:"next"`
	Provider string `json:"provider,omitempty"`
	Password bool   `json:"password"`
	Name     string `json:"name,omitempty"`
	Error    string `json:"error,omitempty"`
	Length   string `json:"session_length"`
	Idle     string `json:"session_idle"`
}

func signInPage(r *Request) (View, error) {
	next := ownPath(r.URL.Query().Get("next"))
	if r.Can(Anyone) {
		return View{Next: next}, nil
	}
	return r.signInView(next, "", "", http.StatusOK), nil
}

func (r *Request) signInView(next, name, failure string, status int) View {
	s := r.Console
	if r.id == "" {
		r.id = random()
		http.SetCookie(r.writer, s.cookie("signin", r.id, signInWithin))
	}
	settings := s.settings.Now()
	data := signInData{Next: next, Password: settings.Users != "", Name: name, Error: failure,
		Length: words(settings.Session.Length), Idle: words(settings.Session.Idle)}
	if s.oidc != nil {
		data.Provider = settings.OIDC.Name
	}
	return View{Template: "signin", Title: "Sign in to Signrelay", Status: status, Data: data}
}

func signIn(r *Request) (View, error) {
	s, name, next := r.Console, r.PostForm.Get("name"), ownPath(r.PostForm.Get("next"))
	address := addressOfRequest(r.Request)
	if !printableText(name, 64) {
		name = ""
	}
	if wait := s.attempts.wait(name, address, r.Now); wait > 0 {
		r.writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return r.signInView(next, name, fmt.Sprintf("Too many attempts failed. Try again in %s.", words(wait)), http.StatusTooManyRequests), nil
	}
	s.attempts.count(name, address, r.Now)
	user, ok := s.checkPassword(r.Context(), name, r.PostForm.Get("password"))
	if !ok {
		s.env.Log.InfoContext(r.Context(), "a sign-in failed", "via", viaPassword)
		return r.signInView(next, name, "The name or the password is wrong.", http.StatusUnauthorized), nil
	}
	s.attempts.succeeded(name, address)
	r.begin(Reader{Name: user.Name, Roles: rolesOf(user.Roles), Via: viaPassword})
	return View{Next: next}, nil
}

// begin signs a reader in: it ends the session of the request, if any, and begins one with a new id. So an id that another person has set or
// knows is worth nothing.
func (r *Request) begin(reader Reader) {
	s := r.Console
	s.sessions.end(s.cookieOf(r.Request, "session"))
	settings := s.settings.Now().Session
	id := s.sessions.begin(reader, r.Now, settings.Length, settings.Idle)
	http.SetCookie(r.writer, s.cookie("session", id, settings.Length))
	http.SetCookie(r.writer, s.cookie("signin", "", 0))
	s.env.Log.InfoContext(r.Context(), "a user signed in", "via", reader.Via, "roles", reader.Roles.String())
}

func signOut(r *Request) (View, error) {
	s := r.Console
	s.sessions.end(s.cookieOf(r.Request, "session"))
	http.SetCookie(r.writer, s.cookie("session", "", 0))
	return View{Next: "/signin"}, nil
}

// ownPath returns a path of the console to go to after the sign-in; "/" in place of any other address. A browser reads "//host", "/\host" and
// "/<tab>/host" as another host.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\") || !printableText(next, 2048) || strings.HasPrefix(u.Path, "/signin") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return next
}
