package shortener

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
)

// visitors limits how many links one client opens.
type visitors struct {
	limits limit.Limiter
	rate   limit.Rate
}

func newVisitors(perMinute int, limits limit.Limiter) visitors {
	return visitors{limits: limits, rate: limit.Rate{Count: perMinute, Per: time.Minute, Burst: perMinute}}
}

// let tells whether r's client may open a link now, and else in how long. While the limiter is in trouble everybody may:
// a code of 70 bits is not found by trying anyway.
func (v visitors) let(r *http.Request) (wait time.Duration, ok bool) {
	wait, ok, err := v.limits.Take(r.Context(), visitorKey(r.RemoteAddr), v.rate, 0)
	return wait, ok || err != nil
}

// visitorKey names a client without keeping its address: a network of 64 bits in IPv6, where one household has as many
// addresses as it likes.
//
// X-Forwarded-For is not looked at, since anybody can send one. So behind a proxy that does not keep the client's address
// everybody is one client, which is why the limit is generous.
func visitorKey(remote string) string {
	client := remote
	if at, err := netip.ParseAddrPort(remote); err == nil {
		addr := at.Addr().Unmap().WithZone("")
		client = addr.String()
		if addr.Is6() {
			client = netip.PrefixFrom(addr, 64).Masked().String()
		}
	}
	sum := sha256.Sum256([]byte(client))
	return "link/" + hex.EncodeToString(sum[:16])
}
