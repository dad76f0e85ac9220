package shortener

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// Entries that proxies write for a client, and entries that are not addresses.
func TestReadHop(t *testing.T) {
	t.Parallel()
	const v4, v6 = "192.0.2.7", "2001:db8::7"
	for text, want := range map[string]string{
		"192.0.2.7":                v4,
		"192.0.2.7:1":              v4, // Azure's gateways, IIS
		"192.0.2.7:65535":          v4,
		"192.0.2.7:_hidden":        v4, // RFC 7239
		`"192.0.2.7"`:              v4,
		`"192.0.2.7:4711"`:         v4,
		`" 192.0.2.7 "`:            v4,
		"::ffff:192.0.2.7":         v4,
		"[::ffff:192.0.2.7]:80":    v4,
		"2001:db8::7":              v6,
		"2001:DB8::7":              v6,
		"2001:db8:0:0:0:0:0:7":     v6,
		"[2001:db8::7]":            v6,
		"[2001:db8::7]:443":        v6,
		`"[2001:db8::7]:443"`:      v6,
		`"[2001:db8::7]"`:          v6,
		"2001:db8::7%eth0":         v6,
		"[2001:db8::7%25eth0]:443": v6,

		"unknown": "", "_hidden": "", "_SEVKISEK": "", "-": "", `""`: "", `"`: "", "[]": "", "[": "", "]": "", ":80": "", "[192.0.2.7]": "", "[192.0.2.7]:80": "",
		"[2001:db8::7": "", "2001:db8::7]": "", "[2001:db8::7]80": "", "[[2001:db8::7]]": "", "192.0.2": "", "192.0.2.7.8": "", "192.0.2.256": "",
		"192.0.2.07": "", "0xc0000207": "", "3221225991": "", "192.0.2.7/24": "", "localhost": "", "client.acme.example": "", "192.0.2.7 192.0.2.8": "",
		"for=192.0.2.7": "", "１９２.0.2.7": "", "192。0。2。7": "", "\x00192.0.2.7": "", "192.0.2.7\x00": "", "%31": "",
	} {
		a, ok := readHop(text)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q: %v %t, want %q", text, a, ok, want)
		}
	}
}

// The last address that is not one of our proxies is the client.
func TestClientBehindProxies(t *testing.T) {
	t.Parallel()
	const proxy = "10.0.0.1:1"
	v := newVisitors(shortenersettings.Shortener{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8", "::ffff:172.16.0.0/108"}}, nil)
	for _, c := range []struct {
		remote string
		named  []string // one header for each entry
		want   string
	}{
		{proxy, []string{"192.0.2.7:5000"}, "192.0.2.7"},
		{proxy, []string{"[2001:db8::7]:5000"}, "2001:db8::7"},
		{proxy, []string{`"192.0.2.7"`}, "192.0.2.7"},
		{proxy, []string{"6.6.6.6", "192.0.2.7"}, "192.0.2.7"},
		{proxy, []string{"6.6.6.6,7.7.7.7 ,\t192.0.2.7 "}, "192.0.2.7"},
		{proxy, []string{"192.0.2.7", "10.0.0.2"}, "192.0.2.7"},
		{proxy, []string{"192.0.2.7", "10.0.0.2:80, \"[fd00::2]:80\""}, "192.0.2.7"},
		{proxy, []string{"192.0.2.7,"}, "192.0.2.7"},
		{proxy, []string{"192.0.2.7, ,", ""}, "192.0.2.7"},
		{proxy, []string{"6.6.6.6, unknown"}, "10.0.0.1"}, // the proxy hides the client, and the client may have written the earlier entries
		{proxy, []string{"6.6.6.6, _hidden"}, "10.0.0.1"},
		{proxy, []string{"6.6.6.6, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{proxy, nil, "10.0.0.1"},
		{proxy, []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
		{"172.16.3.4:1", []string{"192.0.2.7"}, "192.0.2.7"}, // the network is written as IPv6
		{"[::ffff:10.0.0.1]:1", []string{"192.0.2.7"}, "192.0.2.7"},
		{"192.0.2.9:1", []string{"192.0.2.7"}, "192.0.2.9"},
		{"192.0.2.9:1", []string{"10.0.0.1"}, "192.0.2.9"},
		{"@", []string{"192.0.2.7"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.named, "Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}}}
		if got := v.client(r); got.String() != c.want {
			t.Errorf("%s %q: %s, want %s", c.remote, c.named, got, c.want)
		}
	}
}

// For any text of a client, the client is the proxy's own entry at the end. Without a proxy it is the address of the connection.
func FuzzForwardedFor(f *testing.F) {
	for _, text := range []string{"", "192.0.2.1", `"[2001:db8::1]:443"`, "unknown, _x", `"`, "[", ",,", "10.0.0.9", `for="_x";by=unknown`, "::ffff:10.0.0.1"} {
		f.Add(text, text)
	}
	v := newVisitors(shortenersettings.Shortener{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}}, nil)
	f.Fuzz(func(t *testing.T, first, second string) {
		client := func(remote string, named ...string) netip.Addr {
			return v.client(&http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": named, "Forwarded": {first}}})
		}
		for _, own := range []string{"198.51.100.7", "[2001:db8::9]:1", `"198.51.100.7:80"`} {
			want, ok := readHop(own)
			if got := client("10.0.0.1:1", first, second+", "+own); !ok || got != want {
				t.Errorf("%q, %q and a proxy that writes %s: %s", first, second, own, got)
			}
		}
		if got := client("192.0.2.9:1", first, second); got.String() != "192.0.2.9" {
			t.Errorf("%q, %q without a proxy: %s", first, second, got)
		}
		got := client("10.0.0.1:1", first, second)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q, %q: %v", first, second, got)
		}
		if a, ok := readHop(strings.TrimSpace(first)); ok && (!a.IsValid() || a.Zone() != "") {
			t.Errorf("%q: %v", first, a)
		}
	})
}
