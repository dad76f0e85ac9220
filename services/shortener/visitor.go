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

// visitors limits what one client address does: how many codes it tries that no link has, and how often it opens each link. The two are
// apart, because many signers may share an address: one of them who guesses holds no other up, and neither does one who opens a link
// of his own again and again. So a code is looked up before any limit is asked. What bounds guessing is the length of a code: at 10,000 guesses
// a second one of a million links would be found in 4,000 years. The limit tells a client that guesses to stop, and us that there is one.
type visitors struct {
	limits  limit.Limiter
	rate    limit.Rate
	proxies []netip.Prefix // believed when they say for whom they ask
}

func newVisitors(settings shortenersettings.Shortener, limits limit.Limiter) visitors {
	v := visitors{limits: limits, rate: limit.Rate{Count: settings.PerMinute, Per: time.Minute, Burst: settings.PerMinute}}
	for _, network := range settings.TrustedProxies {
		if p, err := netip.ParsePrefix(network); err == nil { // config.Check refuses any other
			if p.Addr().Is4In6() && p.Bits() >= 96 { // as it is compared with
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			v.proxies = append(v.proxies, p)
		}
	}
	return v
}

// mayGuess tells whether r's client may try another code that no link has, and else in how long.
func (v visitors) mayGuess(r *http.Request) (wait time.Duration, ok bool) {
	return v.take(r, "link/guess/"+networkOf(v.client(r)))
}

// mayOpen tells whether r's client may open that link now, and else in how long.
func (v visitors) mayOpen(r *http.Request, code string) (wait time.Duration, ok bool) {
	return v.take(r, "link/open/"+code+"/"+networkOf(v.client(r)))
}

// take counts under the hash of a name, so that neither codes nor addresses are kept. While the limiter is in trouble everybody may.
func (v visitors) take(r *http.Request, name string) (wait time.Duration, ok bool) {
	sum := sha256.Sum256([]byte(name))
	wait, ok, err := v.limits.Take(r.Context(), flow.RateLink+"/"+hex.EncodeToString(sum[:16]), v.rate, 0)
	return wait, ok || err != nil
}

// client is who asks: whoever connects, or where that is a proxy of ours, whom it names. Each proxy appends the address that
// connects to it, so the list is read from its end, and the first that is none of ours is the client: what stands before
// it anybody can have written.
func (v visitors) client(r *http.Request) netip.Addr {
	client := connected(r)
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(named) {
		if text = strings.Trim(text, " \t"); text == "" { // a list may have empty places
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

// connected is the address of the other end of the connection.
func connected(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

// readHop reads one place of X-Forwarded-For. Proxies write an address, also in quotes, in brackets, or with a port; those that hide it write
// "unknown" or a name of their own that begins with an underscore (RFC 7239, section 6), which are no address.
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

// unnamedProxy reports whether a request came through a proxy that shortener.trusted_proxies does not name. Then all its clients have one
// address here. A client that writes such a header itself looks the same.
func (v visitors) unnamedProxy(r *http.Request) bool {
	return (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "") && !v.ours(connected(r))
}

func (v visitors) ours(a netip.Addr) bool {
	return slices.ContainsFunc(v.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// networkOf names a client: by a network of 64 bits in IPv6, where one household has as many addresses as it likes.
func networkOf(client netip.Addr) string {
	if client.Is6() {
		return netip.PrefixFrom(client, 64).Masked().String()
	}
	return client.String()
}
