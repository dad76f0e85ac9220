package certificates

import (
	"net/http"
	"strings"
)

// Plain is the handler of the listener for plain HTTP. It redirects GET and HEAD requests for links to https. It refuses everything else, above all
// callbacks: a redirect would repeat their token in clear, and most clients drop the body when they follow one. A provider shows the refusal.
type Plain struct {
	// Redirects has the prefixes of the paths that are redirected, such as /l/, each with the beginning of its https addresses.
	Redirects map[string]string
	// Counted is called with the outcome of each request: redirected or refused.
	Counted func(outcome string)
}

// The outcomes of requests to the listener for plain HTTP.
const (
	Redirected = "redirected"
	Refused    = "refused"
	Challenge  = "challenge"
)

// refusal names no address of the request, because a stranger chooses it.
const refusal = "Signrelay accepts this request over https only: use the same address with https://.\n" +
	"Nothing of this request was stored. If it had a token or a password, replace it, because it crossed the network unencrypted.\n"

// ServeHTTP implements http.Handler.
func (p Plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close") // the body is not read
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		path := r.URL.EscapedPath()
		for prefix, base := range p.Redirects {
			if strings.HasPrefix(path, prefix) {
				p.Counted(Redirected)
				target := base + path
				if r.URL.RawQuery != "" {
					target += "?" + r.URL.RawQuery
				}
				h.Set("Location", target)
				h.Set("Referrer-Policy", "no-referrer")
				w.WriteHeader(http.StatusPermanentRedirect)
				return
			}
		}
	}
	p.Counted(Refused)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(refusal))
}
