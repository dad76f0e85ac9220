package service

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Private protects the handler of a listener that is not public. It refuses requests of web pages in its users' browsers: of a page whose
// host name resolves to the listener (DNS rebinding), and of a page of another site that sends requests or shows our pages in a frame.
// setting is the key of the setting that lists hosts.
func Private(setting string, hosts []string, next http.Handler) http.Handler {
	changes := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'") // our own pages set a stricter policy
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !isOurs(r.Host, hosts):
			http.Error(w, fmt.Sprintf("This listener serves requests to IP addresses, to localhost and to the names in the setting %s. "+
				"If the name in the Host header is one of your names, add it to that setting.", setting), http.StatusMisdirectedRequest)
		case embedded(r):
			http.Error(w, "A page of another site may link to this listener, but it may not read from it or embed it.", http.StatusForbidden)
		default:
			changes.ServeHTTP(w, r)
		}
	})
}

// isOurs reports whether a Host header has a name that an attacker's DNS server cannot point to the listener: an IP address, localhost or a
// name below it (RFC 6761), or a configured name. No browser sends an empty Host header.
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

// embedded reports whether a browser sends the request for a page of another site, unless it opens our page in a window. Other
// clients, and browsers older than 2023, do not send Sec-Fetch-Site.
func embedded(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	default:
		return false
	}
}
