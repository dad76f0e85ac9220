package ingest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// destination is the target of a path: a route of a provider, and the calling source.
type destination struct {
	provider string
	route    pack.Route
	source   source
	known    bool // the settings have the source; if false, see hidden
}

// ServeHTTP serves /webhooks/<provider>/<source><route>. A request with a wrong path is counted and logged, with the wrong part, so that the
// operator notices a provider with a wrong address. Nothing is redirected, because PleaseSign counts a redirect as a failure.
func (h *handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	to, wrong := h.route(req.URL.EscapedPath())
	if wrong == nil {
		h.serve(w, req, to, began)
		return
	}
	wrong.write(w)
	h.observe(req.Context(), to, *wrong, began)
}

// route parses an escaped path, part by part. A path has one spelling, without escaped characters; a slash at the end is ignored. Its
// error messages do not quote the path, which may contain anything.
func (h *handler) route(escaped string) (to destination, wrong *response) {
	to = destination{provider: unknown, source: noSource}
	missing := func(reason, detail string) (destination, *response) {
		a := problemResponse(http.StatusNotFound, reason, detail)
		return to, &a
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	switch {
	case strings.Contains(escaped, "%"):
		return missing("escaped", "The path contains a percent sign or a character that must be escaped. An address contains only letters, digits, - and /.")
	case len(parts) > 1 && slices.Contains(parts, ""):
		return missing("empty-part", "The path contains two slashes in a row: remove one.")
	case parts[0] == "webhooks":
	case slices.Contains(parts, "webhooks"):
		return missing("prefix", "The path has a prefix before /webhooks. The proxy must remove it, or the address is wrong.")
	default:
		return missing("no-such-path", "The path must begin with /webhooks/<provider>/<source>.")
	}
	if len(parts) == 1 {
		return missing("provider-missing", "The path ends before the provider. It is /webhooks/<provider>/<source>; providers are "+h.providerNames()+".")
	}
	i := slices.IndexFunc(h.packs, func(p pack.Pack) bool { return p.Name == parts[1] })
	if i < 0 {
		return missing("no-such-provider", "The second part of the path is not a provider. Providers are "+h.providerNames()+".")
	}
	p := h.packs[i]
	to.provider = p.Name
	if len(parts) == 2 {
		return missing("source-missing", "The path ends before the source. It is /webhooks/"+p.Name+"/<source>, as the settings name it.")
	}
	to.source, to.known = h.accounts.Now()[p.Name][parts[2]]
	if !to.known {
		webhook, hidden := h.hidden(p.Name)
		if !hidden {
			return missing("no-such-source", "The settings have no such source for this provider.")
		}
		to.source.webhook = webhook
	}
	rest := strings.Join(append([]string{""}, parts[3:]...), "/")
	for _, entry := range p.Routes {
		if entry.Path == rest {
			to.route = entry
			return to, nil
		}
	}
	wants := routePaths(p)
	switch {
	case rest == "":
		return missing("door-missing", "The path ends too early: "+wants+" must follow the source.")
	case wants == "":
		return missing("no-such-door", "Nothing may follow the source.")
	default:
		return missing("no-such-door", "The part after the source must be "+wants+".")
	}
}

// hidden returns a webhook for an unknown source if hide_sources is set. The request is read and verified as for one of the provider's
// sources, and then refused. So its response takes the same time.
func (h *handler) hidden(provider string) (webhook pack.Webhook, hidden bool) {
	if !h.env.Config.HideSources {
		return nil, false
	}
	for _, src := range h.accounts.Now()[provider] {
		return src.webhook, true
	}
	return unknownWebhook{}, true
}

// unknownWebhook verifies nothing, for a provider without sources.
type unknownWebhook struct{ pack.Webhook }

func (unknownWebhook) Verify(pack.Request) (pack.Verified, error) {
	return pack.Verified{}, nil // the request is refused because of the source's name
}

// unknown is the label for an unknown part of the path. With the path's own text, any caller could create labels.
const unknown = "unknown"

var noSource = source{}

func (h *handler) providerNames() string {
	names := make([]string, len(h.packs))
	for i, p := range h.packs {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// routePaths lists the paths that may follow a source: "/all or /signed"; "" if none may.
func routePaths(p pack.Pack) string {
	var paths []string
	for _, entry := range p.Routes {
		if entry.Path != "" {
			paths = append(paths, entry.Path)
		}
	}
	return strings.Join(paths, " or ")
}
