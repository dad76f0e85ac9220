package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Page is one route of the console. Literals list all fields without names, so a page without a role does not compile.
type Page struct {
	Method string
	Path   string // a pattern of http.ServeMux
	Role   Role   // that its reader needs
	Place  string // the place in the header to which it belongs; empty for none
	Keys   []string
	Serve  func(*Request) (View, error)
}

// pages has every route of the console, in the order of the header. The next page adds its row here, its handler in <name>.go and its template
// in templates/<name>.html.
var pages = slices.Concat(
	flowPages, documentsPages, documentPages, stuckPages, jobPages, sourcePages, sourceSignInPages, subscriberPages, insightPages,
	signInPages, mePages, livePages, assetPages, mcpPages,
)

// View is the response of a page.
type View struct {
	// Template is the name of the file in templates, without .html. It defines "main", whose dot is a Layout.
	Template string
	Title    string // the h1 and the title of the window: what was found, not the name of the page
	Status   int    // 0 means 200
	Live     bool   // parts with data-live are loaded again while the page is open
	// Data is what the template shows, in Layout.Data, and the JSON response. Without the role private it must not contain personal data. Numbers
	// that may exceed 2^53 have the JSON option string.
	Data any
	// Next is the own path to which a POST leads; the response is then 303. JSON clients get Data instead.
	Next string
	// Raw writes the whole response, for streams and files.
	Raw func(http.ResponseWriter)
}

// Request is a request to a page, with its reader.
type Request struct {
	*http.Request
	Console *Server
	Reader  Reader
	JSON    bool // the client wants JSON
	Now     time.Time
	id      string // of the session, or of the sign-in
	writer  http.ResponseWriter
}

// Reader is who made a request.
type Reader struct {
	Name  string // empty without a sign-in
	Roles Role
	Via   string // "password", "oidc", "local", "basic", "stdio"
}

// Can reports whether the reader has the roles.
func (r *Request) Can(roles Role) bool { return r.Reader.Roles.Has(roles) }

// Problem is a failure that the reader can understand, in the terms of RFC 9457.
type Problem struct { //nolint:errname // RFC 9457 calls it a problem
	Status int    `json:"status"`
	Title  string `json:"title"`  // what is wrong: "No source has this name"
	Detail string `json:"detail"` // what still works, and what to do
	// Back is the path of the page to which the link leads; it is not in JSON.
	Back string `json:"-"`
	// Retry is the time after which it makes sense to try again; 0 for none.
	Retry time.Duration `json:"-"`
}

func (p *Problem) Error() string { return p.Title }

// wrap returns the handler of a page: it checks the query, the path, the reader and the role, serves, and writes the response.
func (s *Server) wrap(p Page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := &Request{Request: req, Console: s, JSON: wantsJSON(req), Now: s.env.Now(), writer: w}
		secure(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		r.Reader, r.id = s.reader(req)
		view, err := s.serve(p, r)
		if err != nil {
			s.fail(w, r, p, err)
			return
		}
		s.write(w, r, p, view)
	})
}

// serve checks the request and runs the page's handler.
func (s *Server) serve(p Page, r *Request) (View, error) {
	if err := checkQuery(r.Request, p.Keys); err != nil {
		return View{}, err
	}
	if err := checkPath(p.Path, r.Request); err != nil {
		return View{}, err
	}
	if p.Path == mcpPath {
		if err := s.authenticate(r); err != nil {
			return View{}, err
		}
	}
	if p.Role == 0 || !r.Can(Anyone) && p.Role != Anyone {
		return View{}, errSignIn
	}
	if p.Role != Anyone && !r.Can(p.Role) {
		return View{}, &Problem{Status: http.StatusForbidden, Title: notAllowed,
			Detail: fmt.Sprintf("It needs the role %s. You have %s. Nothing was done.", p.Role, cmp.Or(r.Reader.Roles.String(), "no role"))}
	}
	if p.searches() {
		if err := s.limit(r); err != nil {
			return View{}, err
		}
	}
	if p.Method != http.MethodGet && p.Path != "" && p.Path != mcpPath { // an address without a page has no path, and MCP has no cookie and no form
		if err := s.checkForm(p, r); err != nil {
			return View{}, err
		}
	}
	return p.Serve(r)
}

// notAllowed is the title of the problem of a role that is missing.
const notAllowed = "Your role may not do this"

// mostForm is the maximum size of a form in bytes.
const mostForm = 64 << 10

// checkForm refuses an action in read-only mode, and a form that no page of this session contained.
func (s *Server) checkForm(p Page, r *Request) error {
	r.Body = http.MaxBytesReader(r.writer, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "The form cannot be read", Detail: "It must be URL-encoded and have at most 64 KiB."}
	}
	if s.settings.Now().ReadOnly && p.Role != Anyone && !p.searches() {
		return &Problem{Status: http.StatusForbidden, Title: "The console is read-only", Detail: "The setting console.read_only is true. Nothing was done."}
	}
	if token := cmp.Or(r.Header.Get("Signrelay-Token"), r.PostForm.Get("token")); !s.tokenIs(r.id, token) {
		return &Problem{Status: http.StatusForbidden, Title: "This form is too old",
			Detail: "Load the page again and send the form once more. Nothing was done. A script sends the page's token in the header Signrelay-Token."}
	}
	return nil
}

// unknownValue is the title of the problem of a key with a value that it does not accept.
const unknownValue = "Unknown value in the address"

// searches reports whether the page is a search. If it is a POST, then only because its text must not be in an address: it changes nothing.
func (p Page) searches() bool { return p.Path == documentsPath }

// errSignIn leads the reader to the sign-in.
var errSignIn = errors.New("the reader must sign in")

// commonKeys are accepted by each page.
var commonKeys = []string{"time"}

// checkQuery refuses unknown keys: a misspelled filter would show all rows as if they matched it.
func checkQuery(r *http.Request, keys []string) error {
	query, err := parseQuery(r)
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "The address cannot be read", Detail: "The part after the ? is not URL-encoded."}
	}
	for key, values := range query {
		if !slices.Contains(keys, key) && !slices.Contains(commonKeys, key) {
			return &Problem{Status: http.StatusBadRequest, Title: "Unknown key in the address",
				Detail: fmt.Sprintf("This page has no key %q. It accepts %s.", shorten(key), strings.Join(append(slices.Clone(keys), commonKeys...), ", "))}
		}
		if slices.ContainsFunc(values, func(v string) bool { return !printableText(v, 1024) }) {
			return &Problem{Status: http.StatusBadRequest, Title: "A value in the address cannot be read", Detail: fmt.Sprintf("The value of %q has control characters or is too long.", shorten(key))}
		}
	}
	if t := query.Get("time"); t != "" && t != "utc" && t != "own" {
		return &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: "The key time accepts utc and own."}
	}
	return nil
}

var wildcard = regexp.MustCompile(`\{([a-z]+)(?:\.\.\.)?\}`)

// checkPath refuses values of a path that no name or id can have.
func checkPath(pattern string, r *http.Request) error {
	for _, m := range wildcard.FindAllStringSubmatch(pattern, -1) {
		if m[1] == "document" { // an id of a provider may have any character
			if v := r.PathValue(m[1]); v == "" || len(v) > 1024 || !utf8.ValidString(v) {
				return &Problem{Status: http.StatusBadRequest, Title: "The address cannot be read", Detail: "The document's id is empty, longer than 1,024 bytes, or not UTF-8."}
			}
			continue
		}
		if v := r.PathValue(m[1]); v == "" || v == "." || v == ".." || !printableText(v, 256) || strings.ContainsAny(v, `\`) {
			return &Problem{Status: http.StatusBadRequest, Title: "The address cannot be read", Detail: fmt.Sprintf("Its part %q is empty, too long, or has characters that no name has.", m[1])}
		}
	}
	return nil
}

func printableText(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return text
}

func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// write writes the response of a page.
func (s *Server) write(w http.ResponseWriter, r *Request, p Page, v View) {
	switch {
	case v.Raw != nil:
		v.Raw(w)
	case v.Next != "" && (!r.JSON || v.Data == nil):
		http.Redirect(w, r.Request, v.Next, http.StatusSeeOther)
	case r.JSON:
		writeJSON(w, r.Request, cmp.Or(v.Status, http.StatusOK), "application/json", v.Data)
	default:
		s.render(w, r, p, v)
	}
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, mediaType string, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"status":500,"title":"The response cannot be encoded"}`)
	}
	sendWhole(w, r, status, mediaType, append(body, '\n'))
}

// fail writes the response of a failure. The reason of an unexpected failure is in the log only, because it may name parts of the installation.
func (s *Server) fail(w http.ResponseWriter, r *Request, p Page, err error) {
	problem := new(Problem)
	switch {
	case errors.Is(err, errSignIn) && !r.JSON:
		next := "/signin"
		if r.Method == http.MethodGet {
			next += "?next=" + queryEscape(r.URL.RequestURI())
		}
		http.Redirect(w, r.Request, next, http.StatusSeeOther)
		return
	case errors.Is(err, errSignIn):
		problem = &Problem{Status: http.StatusUnauthorized, Title: "Sign in first", Detail: "The request has no cookie of a session."}
	case errors.As(err, &problem):
	case r.Context().Err() != nil:
		return
	default:
		s.env.Log.ErrorContext(r.Context(), "a page failed", "page", p.Method+" "+p.Path, "error", err)
		problem = &Problem{Status: http.StatusBadGateway, Title: "The page cannot be shown now",
			Detail: "NATS did not respond as expected. Callbacks and messages do not depend on the console. The log of the console has the reason.", Retry: 5 * time.Second}
	}
	if problem.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(problem.Retry.Seconds())))
	}
	if r.JSON {
		writeJSON(w, r.Request, problem.Status, "application/problem+json", problem)
		return
	}
	s.render(w, r, p, View{Template: "problem", Title: problem.Title, Status: problem.Status, Data: problem})
}

// Pages returns every route, for tests that try each of them with each role.
func Pages() []Page { return slices.Clone(pages) }
