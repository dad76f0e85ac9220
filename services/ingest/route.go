package ingest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// route is where a path leads: a door of a provider, and the source that calls there.
type route struct {
	provider string
	door     pack.Route
	source   source
	known    bool // the settings have the source; without it, it stands in for one, see hidden
}

// ServeHTTP serves /webhooks/<provider>/<source><door>. Each path that leads nowhere is answered, counted and logged here, with
// the part of it that is wrong: a provider that calls a wrong address would otherwise leave no trace. Nothing is redirected,
// because PleaseSign counts a redirect as a failure.
func (d *doors) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	to, wrong := d.route(req.URL.EscapedPath())
	if wrong == nil {
		d.serveDoor(w, req, to, began)
		return
	}
	wrong.write(w)
	d.observe(req.Context(), to, *wrong, began)
}

// route parses an escaped path, part by part. A path has one spelling, without escaped characters; a slash at the end is ignored. Its
// error messages do not quote the path, which may contain anything.
func (d *doors) route(escaped string) (to route, wrong *answer) {
	to = route{provider: unknown, source: nobody}
	missing := func(reason, detail string) (route, *answer) {
		a := answerProblem(http.StatusNotFound, reason, detail)
		return to, &a
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	switch {
	case strings.Contains(escaped, "%"):
		return missing("escaped", "The path has a percent sign or a character that needs one: all parts of an address are plain letters, digits, - and /.")
	case len(parts) > 1 && slices.Contains(parts, ""):
		return missing("empty-part", "The path has two slashes side by side: one of them must go.")
	case parts[0] == "webhooks":
	case slices.Contains(parts, "webhooks"):
		return missing("prefix", "Something stands before /webhooks in the path: the proxy must take it away, or the address is wrong.")
	default:
		return missing("no-such-path", "The path must begin with /webhooks/<provider>/<source>.")
	}
	if len(parts) == 1 {
		return missing("provider-missing", "The path ends before the provider. It is /webhooks/<provider>/<source>; providers are "+d.providerNames()+".")
	}
	i := slices.IndexFunc(d.packs, func(p pack.Pack) bool { return p.Name == parts[1] })
	if i < 0 {
		return missing("no-such-provider", "The second part of the path is no provider: it is one of "+d.providerNames()+".")
	}
	p := d.packs[i]
	to.provider = p.Name
	if len(parts) == 2 {
		return missing("source-missing", "The path ends before the source. It is /webhooks/"+p.Name+"/<source>, as the settings name it.")
	}
	to.source, to.known = d.accounts.Now()[p.Name][parts[2]]
	if !to.known {
		stand, hidden := d.hidden(p.Name)
		if !hidden {
			return missing("no-such-source", "The settings name no such source for this provider.")
		}
		to.source.webhook = stand
	}
	behind := strings.Join(append([]string{""}, parts[3:]...), "/")
	for _, door := range p.Routes {
		if door.Path == behind {
			to.door = door
			return to, nil
		}
	}
	wants := doorPaths(p)
	switch {
	case behind == "":
		return missing("door-missing", "The path ends too early: "+wants+" must stand behind the source.")
	case wants == "":
		return missing("no-such-door", "Nothing may stand behind the source.")
	default:
		return missing("no-such-door", "What stands behind the source must be "+wants+".")
	}
}

// hidden returns what stands in for a source that the settings do not have, where they ask to hide which ones they have: the request is
// read and verified as for one of the provider's sources, so that its answer comes after the same time, and then refused.
func (d *doors) hidden(provider string) (webhook pack.Webhook, hidden bool) {
	if !d.env.Config.HideSources {
		return nil, false
	}
	for _, src := range d.accounts.Now()[provider] {
		return src.webhook, true
	}
	return nobodys{}, true
}

// nobodys verifies nothing: its provider has no source.
type nobodys struct{ pack.Webhook }

func (nobodys) Verify(pack.Request) (signingv1.Verification, error) {
	return signingv1.Verification_VERIFICATION_UNSPECIFIED, nil // the source's name is what it is refused for
}

// unknown is a label's value where the path names nothing that we know: its own text would let strangers make labels.
const unknown = "unknown"

var nobody = source{}

func (d *doors) providerNames() string {
	names := make([]string, len(d.packs))
	for i, p := range d.packs {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// doorPaths lists the paths that may follow a source: "/all or /signed"; "" if none may.
func doorPaths(p pack.Pack) string {
	var paths []string
	for _, door := range p.Routes {
		if door.Path != "" {
			paths = append(paths, door.Path)
		}
	}
	return strings.Join(paths, " or ")
}
