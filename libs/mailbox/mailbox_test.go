package mailbox_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/mailbox"
)

func TestPublicDomains(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]bool{
		"example.com": true, "Mail.Acme.Example": true, "xn--bcher-kva.example": true, "a.xn--p1ai": true, "1and1.de": true, "a_b.example": true, "localhost.de": true, "internal.acme.example": true,
		"": false, "localhost": false, "LOCALHOST": false, "host": false, "mail": false, "a.localhost": false, "localhost.localdomain": false, "db.internal": false, "DB.Internal": false,
		"printer.local": false, "nas.lan": false, "router.home.arpa": false, "1.0.0.127.in-addr.arpa": false, "x.onion": false, "x.invalid": false, "ad.corp": false,
		"127.0.0.1": false, "127.1": false, "0x7f.1": false, "0x7f.0.0.0x1": false, "0177.0.0.1": false, "2130706433": false, "0x7f000001": false, "[127.0.0.1]": false, "[IPv6:::1]": false, "::1": false,
		"example.com.": false, ".example.com": false, "a..b": false, "-a.de": false, "a-.de": false, "a b.de": false, "internal.": false, "a:25.de": false, "a/b.de": false, "bücher.example": false,
	} {
		if got := mailbox.Public(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
}
