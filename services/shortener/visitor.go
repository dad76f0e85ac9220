package shortener

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// visitors limits the requests of a client address: the codes without a link that it tries, and the openings of each link. The two limits are
// separate, because many signers may share an address. So a signer who guesses codes does not block the others. Nor does a signer who opens
// one link repeatedly. So a code is looked up before any limit applies. The length of a code makes guessing infeasible: at 10,000 guesses a
// second, finding one of a million links takes 4,000 years. The limit stops a client that guesses, and makes it visible to the operator.
type visitors struct {
	limits  limit.Limiter
	rate    limit.Rate
	proxies []netip.Prefix // the networks whose X-Forwarded-For is trusted
}

func newVisitors(settings shortenersettings.Shortener, limits limit.Limiter) visitors {
	v := visitors{limits: limits, rate: limit.Rate{Count: settings.PerMinute, Per: time.Minute, Burst: settings.PerMinute}}
	for _, network := range settings.TrustedProxies {
		if p, err := netip.ParsePrefix(network); err == nil { // config.Check refuses invalid ones
			if p.Addr().Is4In6() && p.Bits() >= 96 { // client addresses are unmapped too
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			v.proxies = append(v.proxies, p)
		}
	}
	return v
}

// mayGuess reports whether r's client may try another code without a link. If not, it also returns the remaining time.
func (v visitors) mayGuess(r *http.Request) (wait time.Duration, ok bool) {
	return v.take(r, "link/guess/"+networkOf(v.client(r)))
}

// mayOpen reports whether r's client may open that link now. If not, it also returns the remaining time.
func (v visitors) mayOpen(r *http.Request, code string) (wait time.Duration, ok bool) {
	return v.take(r, "link/open/"+code+"/"+networkOf(v.client(r)))
}

// take counts under the hash of a name, so that neither codes nor addresses are stored. While the limiter fails, each request is allowed.
func (v visitors) take(r *http.Request, name string) (wait time.Duration, ok bool) {
	sum := sha256.Sum256([]byte(name))
	wait, ok, err := v.limits.Take(r.Context(), flow.RateLink+"/"+hex.EncodeToString(sum[:16]), v.rate, 0)
	return wait, ok || err != nil
}

// client returns the client's address: the address of the connection or, if that is one of our proxies, an address in X-Forwarded-For. Each
// proxy appends the address of its own client. So the list is read from its end, and the first address that is not one of our proxies is the
// client. The client itself may have written all earlier entries.
func (v visitors) client(r *http.Request) netip.Addr {
	client := connected(r)
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(named) {
		if text = strings.Trim(text, " \t"); text == "" { // a list may have empty entries
			continue
		}
		next, ok := readHop(text)
		if !v.ours(client) || !ok {
			break
		}
		client = next
	}
	return client
}

// connected returns the address of the other end of the connection.
func connected(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

// readHop reads one entry of X-Forwarded-For. Proxies write an address, also in quotes, in brackets, or with a port. A proxy that hides the
// address writes "unknown" or a name that begins with an underscore (RFC 7239, section 6); these are not addresses.
func readHop(text string) (netip.Addr, bool) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		text = strings.Trim(strings.TrimSuffix(quoted, `"`), " \t")
	}
	host := text
	if inside, bracketed := strings.CutPrefix(text, "["); bracketed {
		var port string
		var closed bool
		if host, port, closed = strings.Cut(inside, "]"); !closed || !strings.Contains(host, ":") || port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
	} else if strings.Count(text, ":") == 1 {
		host, _, _ = strings.Cut(text, ":")
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap().WithZone(""), err == nil
}

// unnamedProxy reports whether a request came through a proxy that shortener.trusted_proxies does not contain. Then all clients of the proxy
// have one address here. A client that sends such a header itself looks the same.
func (v visitors) unnamedProxy(r *http.Request) bool {
	return (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "") && !v.ours(connected(r))
}

func (v visitors) ours(a netip.Addr) bool {
	return slices.ContainsFunc(v.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// networkOf identifies a client. For IPv6 it is the network of 64 bits, because one household has many addresses.
func networkOf(client netip.Addr) string {
	if client.Is6() {
		return netip.PrefixFrom(client, 64).Masked().String()
	}
	return client.String()
}
