package console

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// Server is the console's handler with its state: sessions, attempts to sign in, and samples of the flow.
type Server struct {
	env      service.Env
	settings *config.Current[consolesettings.Console]
	users    *config.Current[[]consolesettings.User]
	sources  *config.Current[[]config.Source]
	key      []byte // of form tokens and of the cookies of a sign-in
	sessions *sessions
	attempts *attempts
	oidc     *identity // nil without an issuer
	access   *access
	sampler  *sampler
	operator *operate.Operator
	jobs     atomic.Bool // a job runs, so live pages are loaded every second
	index    *searchIndex
	searches *searches
	verified *verified
	mcp      http.Handler
	pace     *pace
	tallies  tallies

	archiveOpen sync.Mutex
	archive     *archive.Store // opened at the first download
	hashing     chan struct{}  // limits the memory of concurrent password checks
}

// New returns the console of a running installation.
func New(env service.Env) (*Server, error) {
	users, err := config.Derive(env.Live, func(c config.Config) ([]consolesettings.User, error) {
		return consolesettings.ParseUsers(consolesettings.Section.Of(c).Users)
	})
	if err != nil {
		return nil, fmt.Errorf("console.users: %w", err)
	}
	sources, err := config.Derive(env.Live, func(c config.Config) ([]config.Source, error) { return c.Sources, nil })
	if err != nil {
		return nil, fmt.Errorf("sources: %w", err)
	}
	operator, err := NewOperator(env)
	if err != nil {
		return nil, err
	}
	settings := consolesettings.Section.Follow(env.Live)
	s := &Server{
		env: env, settings: settings, users: users, sources: sources, key: []byte(random()), sessions: newSessions(), attempts: newAttempts(),
		sampler: newSampler(env, operator), operator: operator, index: &searchIndex{url: indexURL(env.Config)}, searches: newSearches(), pace: newPace(), hashing: make(chan struct{}, 2),
		verified: &verified{all: map[[sha256.Size]byte]time.Time{}}, mcp: newMCPHandler(),
	}
	s.access = s.openAccess()
	if o := settings.Now(); o.OIDC.Issuer != "" {
		if s.oidc, err = newIdentity(o, settings); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Handler returns the handler of all requests to the console.
func (s *Server) Handler() http.Handler {
	mux := service.NewRoutes()
	mux.TakeEscapes("/documents/") // an id may have any character
	for _, p := range pages {
		mux.Handle(p.Method+" "+p.Path, s.wrap(p))
	}
	mux.HandleUnrouted(s.wrap(Page{"", "", Anyone, "", nil, func(*Request) (View, error) {
		return View{}, &Problem{Status: http.StatusNotFound, Title: "No page has this address", Detail: "Check the address, or begin at the flow.", Back: "/"}
	}}))
	settings := s.settings.Now()
	hosts := settings.Hosts
	if u, err := url.Parse(settings.URL); err == nil && u.Hostname() != "" {
		hosts = append([]string{u.Hostname()}, hosts...)
	}
	return service.Private("console.hosts", hosts, mux)
}

// home returns the beginning of the console's addresses in a browser.
func (s *Server) home() string {
	settings := s.settings.Now()
	return cmp.Or(strings.TrimSuffix(settings.URL, "/"), "http://"+settings.Addr)
}

// secure sets the headers of each response. The pages have no inline script and no inline style.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

// token returns the token of forms for a session: no other site can know it.
func (s *Server) token(id string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte("form " + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Server) tokenIs(id, token string) bool {
	return id != "" && hmac.Equal([]byte(s.token(id)), []byte(token))
}

// random returns 256 random bits as text.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func parseQuery(r *http.Request) (url.Values, error) { return url.ParseQuery(r.URL.RawQuery) }

func queryEscape(text string) string { return url.QueryEscape(text) }

// cookie returns a cookie of the console. With https its name has the prefix __Host-, so that no other host of the domain can set it.
func (s *Server) cookie(name, value string, age time.Duration) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure follows from console.url
		Name: s.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: s.settings.Now().Secure(), SameSite: http.SameSiteLaxMode,
		MaxAge: int(age.Seconds()),
	}
	if age <= 0 {
		c.MaxAge = -1
	}
	return c
}

func (s *Server) cookieName(name string) string {
	if s.settings.Now().Secure() {
		return "__Host-signrelay-" + name
	}
	return "signrelay-" + name
}

func (s *Server) cookieOf(r *http.Request, name string) string {
	if c, err := r.Cookie(s.cookieName(name)); err == nil {
		return c.Value
	}
	return ""
}
