package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// APISetup describes a provider's REST API, so that the suite can imitate it.
type APISetup struct {
	Source     config.Source            // it has credentials; the suite adds the address of its test server
	Incomplete map[string]config.Source // sources that lack one key, by that key
	Version    string                   // the prefix of all paths; empty for none
	Header     http.Header              // the headers of every call

	Document  string // the path of the document, after Version
	Unsigned  string // the document, on which Recipient may sign now
	Completed string // the document, which Recipient may download
	// Everything is a document with two people and every field that the client reads.
	Everything string

	// Then are the paths of the second request when a link is opened, after the request for the document; none if a link needs only one request.
	Then map[pack.Purpose]string
}

// Document and Recipient are the ids in the suite's requests. Errors must not contain them.
const (
	Document  = "PLSDOC19704278f8c51564ff0c707817"
	Recipient = "52cc002fac06025cddad05de87f75b37"
)

// RunAPI runs the suite on the pack's REST client: rules that hold for any behaviour of the provider.
func RunAPI(t *testing.T, p pack.Pack, s APISetup) {
	t.Helper()
	suite := apiSuite{p, s}
	for name, check := range map[string]func(*testing.T){
		"the call":                    suite.call,
		"settings":                    suite.settings,
		"an id with a path traversal": suite.walkingIDs,
		"refusals":                    suite.refusals,
		"invalid responses":           suite.garbage,
		"responses with oddities":     suite.odd,
		"no response":                 suite.silence,
		"our own limit":               suite.limited,
		"redirects":                   suite.redirects,
		"after the document":          suite.after,
		"the document's link":         suite.opened,
		"a person who is not on it":   suite.strangers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t)
		})
	}
}

type apiSuite struct {
	p pack.Pack
	s APISetup
}

// calls lists every call of a client, with an id in the first variable segment of its path.
func calls(a pack.API) map[string]func(ctx context.Context, id string) error {
	all := map[string]func(context.Context, string) error{
		"Document": func(ctx context.Context, id string) error {
			_, err := a.Document(ctx, id)
			return err
		},
	}
	for _, purpose := range []pack.Purpose{pack.Sign, pack.Download} {
		all["Open to "+string(purpose)] = func(ctx context.Context, id string) error {
			_, err := a.Open(ctx, pack.Link{Document: id, Recipient: Recipient, Purpose: purpose})
			return err
		}
	}
	if finder, ok := a.(pack.Finder); ok {
		all["DocumentOf"] = func(ctx context.Context, id string) error {
			_, err := finder.DocumentOf(ctx, id)
			return err
		}
	}
	return all
}

func (s apiSuite) call(t *testing.T) {
	for _, under := range []string{"", s.s.Version} { // settings are loaded without a trailing slash
		asked := make(chan *http.Request, 1)
		a := s.api(t, under, func(w http.ResponseWriter, r *http.Request) {
			asked <- r
			fmt.Fprint(w, s.s.Unsigned)
		})
		const id = "[a b]?c=%2e&ü"
		d, err := a.Document(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		s.wantAsked(t, <-asked, strings.Replace(s.s.Document, Document, "%5Ba%20b%5D%3Fc=%252e&%C3%BC", 1))
		if d.ID != id || len(d.Recipients) == 0 {
			t.Errorf("%+v", d)
		}
	}
}

// wantAsked checks the exact path and the credentials.
func (s apiSuite) wantAsked(t *testing.T, r *http.Request, path string) {
	t.Helper()
	if r.Method != http.MethodGet || r.RequestURI != s.s.Version+path {
		t.Errorf("%s %s, want %s", r.Method, r.RequestURI, s.s.Version+path)
	}
	for name := range s.s.Header {
		if r.Header.Get(name) != s.s.Header.Get(name) {
			t.Errorf("%s: %q", name, r.Header.Get(name))
		}
	}
}

func (s apiSuite) settings(t *testing.T) {
	check := func(key string, source config.Source) {
		_, err := s.p.API(source, http.DefaultClient)
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
			return
		}
		s.wantNoLeak(t, err, "api.example", "pass-word")
	}
	for key, source := range s.s.Incomplete {
		check(key, source)
	}
	for _, base := range []string{
		"api.example", "ftp://api.example", "https://", "https://api.example?x=1", "https://u:pass-word@api.example", "https://api.example/%zz",
	} {
		other := s.s.Source
		other.API.BaseURL = base
		check("api.base_url", other)
	}
	if _, err := s.p.API(s.s.Source, http.DefaultClient); err != nil {
		t.Error("control:", err)
	}
	// Only a base URL: the error names all missing keys.
	_, err := s.p.API(config.Source{Name: "demo", API: config.API{BaseURL: "https://api.example"}}, http.DefaultClient)
	for key := range s.s.Incomplete {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("a base URL alone: %v, without %s", err, key)
		}
	}
}

func (s apiSuite) walkingIDs(t *testing.T) {
	a := s.api(t, "", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("was called: %s", r.RequestURI) })
	for name, ask := range calls(a) {
		for _, id := range []string{"", ".", "..", "...", "../groups", "a/b", `a\b`, "a\x00b", "a\r\nb"} {
			if err := ask(t.Context(), id); !errors.As(err, new(*pack.CallError)) || outcome.Of(err).Kind() != outcome.GaveUp {
				t.Errorf("%s of %q: %v", name, id, err)
			}
		}
	}
}

func (s apiSuite) api(t *testing.T, under string, h http.HandlerFunc) pack.API {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s.apiAt(t, server.URL+under, server.Client())
}

func (s apiSuite) apiAt(t *testing.T, base string, client *http.Client) pack.API {
	source := s.s.Source
	source.API.BaseURL = base
	a, err := s.p.API(source, client)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantCallError checks that err is an outcome of that kind around a *pack.CallError. The error must name the fault and nothing secret.
func (s apiSuite) wantCallError(t *testing.T, name string, err error, kind outcome.Kind) *pack.CallError {
	t.Helper()
	var call *pack.CallError
	if !errors.As(err, &call) {
		t.Fatalf("%s: %v", name, err)
	}
	if o := outcome.Of(err); o.Kind() != kind || o.Fault() != faults[kind] {
		t.Errorf("%s: kind %d, fault %q: %v", name, o.Kind(), o.Fault(), err)
	}
	s.wantNoLeak(t, err, Document, Recipient, address, "127.0.0.1", "http:", "https:")
	return call
}

// faults maps the kind of an outcome to the fault of the failed call.
var faults = map[outcome.Kind]outcome.Fault{outcome.Failed: outcome.Provider, outcome.GaveUp: outcome.Provider, outcome.Held: outcome.Operator}

func (s apiSuite) secrets() []string {
	return s.s.Source.Secrets()
}

func (s apiSuite) wantNoLeak(t *testing.T, err error, more ...string) {
	t.Helper()
	for _, secret := range append(s.secrets(), more...) {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %q", secret, err)
		}
	}
}

func wantNotOpen(t *testing.T, name string, err error, reason pack.NotOpen) {
	t.Helper()
	var not *pack.NotOpenError
	if !errors.As(err, &not) || not.Reason != reason {
		t.Errorf("%s: %v, want %s", name, err, reason)
	}
}
