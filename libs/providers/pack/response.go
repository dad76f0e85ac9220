package pack

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Result is ingest's result for an authentic callback.
type Result string

// Results of callbacks.
const (
	Accepted    Result = "accepted"    // every event is stored; unreadable items of a batch are quarantined
	Duplicate   Result = "duplicate"   // every event was stored before
	Quarantined Result = "quarantined" // the callback is unreadable, and is kept byte for byte
)

// Response is the HTTP response that a provider expects.
type Response struct {
	Status      int         // 200 to 299: a provider repeats a callback after any other status
	ContentType string      // of Body: text/plain or application/json; empty without a body
	Header      http.Header // further headers; nil for none
	Body        string
}

// Challenge is the method by which a provider verifies an address before it sends callbacks there: its request contains a text, and its response must
// repeat the text. A challenge is no callback: ingest stores nothing.
type Challenge struct {
	Methods []string // GET, POST or OPTIONS
	// Signed means that the provider authenticates a challenge as it authenticates a callback. Ingest then verifies it first. It responds
	// to a challenge that is not signed for each source, without verification.
	Signed bool
	// Respond returns the response to a challenge, and nil for a request that is none. It has no access to the source's secrets.
	Respond func(Request) *Response
}

// Accepts lists the methods of the route: those of callbacks, then those of challenges alone.
func (r Route) Accepts() []string {
	if r.Challenge == nil { // ingest asks at each request, so there is no copy
		return slices.Clip(r.Methods)
	}
	all := slices.Clone(r.Methods)
	for _, method := range r.Challenge.Methods {
		if !slices.Contains(all, method) {
			all = append(all, method)
		}
	}
	return all
}

// Check returns the mistakes in the route's declarations.
func (r Route) Check() error {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("route %q: "+format, append([]any{r.Path}, args...)...))
	}
	if r.Path != "" && (!strings.HasPrefix(r.Path, "/") || strings.HasSuffix(r.Path, "/")) {
		mistake("the path must be empty, or begin with a slash and end without one")
	}
	for _, method := range r.Methods {
		if method != http.MethodPost && method != http.MethodGet {
			mistake("callbacks come by POST or GET, not by %q", method)
		}
	}
	if len(r.Methods) == 0 {
		mistake("no method for callbacks")
	}
	for _, media := range r.ContentTypes {
		if parsed, _, err := mime.ParseMediaType(media); err != nil || parsed != media {
			mistake("%q is no media type in lower case without parameters", media)
		}
	}
	if c := r.Challenge; c != nil {
		for _, method := range c.Methods {
			if method != http.MethodPost && method != http.MethodGet && method != http.MethodOptions {
				mistake("challenges come by GET, POST or OPTIONS, not by %q", method)
			}
		}
		if len(c.Methods) == 0 || c.Respond == nil {
			mistake("a challenge needs a method and a response")
		}
	}
	return errors.Join(mistakes...)
}

// mostResponse is the limit of a response's body, in bytes: a fixed text, or the text of a challenge.
const mostResponse = 4 << 10

// ownHeaders are the headers that only the server sets.
var ownHeaders = []string{"Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Location", "Set-Cookie"}

// Check returns the mistakes in the response. A response may repeat a text of its request, so a browser must not read it as a page.
func (r Response) Check() error {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if r.Status < 200 || r.Status > 299 {
		mistake("status %d: the provider would repeat the callback", r.Status)
	}
	media, _, err := mime.ParseMediaType(r.ContentType)
	switch {
	case r.Body == "" && r.ContentType != "":
		mistake("content type %q without a body", r.ContentType)
	case r.Body != "" && (err != nil || media != "text/plain" && media != "application/json"):
		mistake("content type %q: it must be text/plain or application/json", r.ContentType)
	}
	if r.Status == http.StatusNoContent && r.Body != "" {
		mistake("status 204 has no body")
	}
	if len(r.Body) > mostResponse {
		mistake("a body of %d bytes: the limit is %d", len(r.Body), mostResponse)
	}
	for name, values := range r.Header {
		if name != textproto.CanonicalMIMEHeaderKey(name) || slices.Contains(ownHeaders, name) {
			mistake("header %q is not canonical, or only the server sets it", name)
		}
		if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, control) }) {
			mistake("header %q has no value, or one with a line break or another control character", name)
		}
	}
	return errors.Join(mistakes...)
}

func control(r rune) bool { return r < ' ' || r == 0x7f }
