package service

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Private guards the handler of a listener that is not public against web pages in the browsers of those who can reach it: a page whose
// name was made to lead to the listener (DNS rebinding), and a page elsewhere that sends requests or shows ours in a frame. setting is
// the setting that lists hosts.
func Private(setting string, hosts []string, next http.Handler) http.Handler {
	changes := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'") // a page of our own sets a stricter one
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !isOurs(r.Host, hosts):
			http.Error(w, fmt.Sprintf("This listener serves requests to IP addresses, to localhost and to the names in the setting %s. "+
				"Add the name that the Host header has, if it is yours.", setting), http.StatusMisdirectedRequest)
		case embedded(r):
			http.Error(w, "A page elsewhere may link to this listener, but it may not read from it or show it.", http.StatusForbidden)
		default:
			changes.ServeHTTP(w, r)
		}
	})
}

// isOurs reports whether a Host header names the listener in a way that no stranger's DNS can: by an IP address, as localhost or a name
// below it (RFC 6761), or by a configured name. An empty one comes from no browser.
func isOurs(hostport string, names []string) bool {
	host := hostport
	if name, port, err := net.SplitHostPort(hostport); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), host) })
}

// embedded reports whether a browser asks on behalf of a page elsewhere, for anything but to open what it asks for in a window. Other
// clients, and browsers older than 2023, do not say (Sec-Fetch-Site).
func embedded(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	default:
		return false
	}
}
