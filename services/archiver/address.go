package archiver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

var (
	errPrivate  = errors.New("an address in a private network")
	errRedirect = errors.New("a redirect that is not followed")
)

// mostRedirects limits the redirects from the address of a file.
const mostRedirects = 5

// newClient returns a client without credentials and cookies. If guarded is true, it connects only to public addresses: the address of a file comes
// from a provider's callback or response, and must not lead to a server of the operator's network.
func newClient(guarded bool) *http.Client {
	dialer := &net.Dialer{Timeout: responseWithin / 2}
	if guarded {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if at, err := netip.ParseAddrPort(address); err != nil || !public(at.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: responseWithin / 2, ResponseHeaderTimeout: responseWithin, IdleConnTimeout: 90 * time.Second,
	}
	if !guarded {
		transport.Proxy = http.ProxyFromEnvironment
	}
	return &http.Client{Transport: transport, CheckRedirect: follow}
}

// follow accepts a redirect unless it gives up encryption. It removes the header Referer, which would reveal the secret address.
func follow(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer")
	web := r.URL.Scheme == "https" || r.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "http"
	if len(via) > mostRedirects || !web || r.URL.User != nil {
		return errRedirect
	}
	return nil
}

// client returns the client for a file. Only a source whose API itself is in a private network (a trial, a test, the provider's own gateway) has
// files in a private network. A proxy decides itself where it connects.
func (f fetcher) client(ctx context.Context, r *http.Request, apiURL string) *http.Client {
	if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy != nil || private(ctx, apiURL) {
		return f.any
	}
	return f.public
}

// private reports whether the server of a URL has an address in a private network. The default address of an API is empty, and public.
func private(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return false
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return false
	}
	for _, at := range found {
		if !public(at) {
			return true
		}
	}
	return false
}

// shared is the range of addresses that providers of Internet access use behind their own gateways (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func public(at netip.Addr) bool {
	at = at.Unmap()
	return at.IsGlobalUnicast() && !at.IsPrivate() && !at.IsLoopback() && !at.IsLinkLocalUnicast() && !shared.Contains(at)
}
