package shortener

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
)

// visitors limits how many links one client opens.
type visitors struct {
	limits  limit.Limiter
	rate    limit.Rate
	proxies []netip.Prefix // believed when they say for whom they ask
}

func newVisitors(settings config.Shortener, limits limit.Limiter) visitors {
	v := visitors{limits: limits, rate: limit.Rate{Count: settings.PerMinute, Per: time.Minute, Burst: settings.PerMinute}}
	for _, network := range settings.TrustedProxies {
		if p, err := netip.ParsePrefix(network); err == nil { // config.Check refuses any other
			v.proxies = append(v.proxies, p)
		}
	}
	return v
}

// let tells whether r's client may open a link now, and else in how long. While the limiter is in trouble everybody may:
// a code of 70 bits is not found by trying anyway.
func (v visitors) let(r *http.Request) (wait time.Duration, ok bool) {
	wait, ok, err := v.limits.Take(r.Context(), visitorKey(v.client(r)), v.rate, 0)
	return wait, ok || err != nil
}

// client is who asks: whoever connects, or where that is a proxy of ours, whom it names. Each proxy appends the address that
// connects to it, so the list is read from its end, and the first that is none of ours is the client: what stands before
// it anybody can have written.
func (v visitors) client(r *http.Request) netip.Addr {
	connected, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := connected.Addr().Unmap().WithZone("")
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(named) {
		next, err := netip.ParseAddr(strings.TrimSpace(text))
		if !v.ours(client) || err != nil {
			break
		}
		client = next.Unmap().WithZone("")
	}
	return client
}

func (v visitors) ours(a netip.Addr) bool {
	return slices.ContainsFunc(v.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// visitorKey names a client without keeping its address: a network of 64 bits in IPv6, where one household has as many
// addresses as it likes.
func visitorKey(client netip.Addr) string {
	name := client.String()
	if client.Is6() {
		name = netip.PrefixFrom(client, 64).Masked().String()
	}
	sum := sha256.Sum256([]byte(name))
	return "link/" + hex.EncodeToString(sum[:16])
}
