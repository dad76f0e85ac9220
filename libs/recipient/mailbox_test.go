package recipient

import "testing"

// Texts that are addresses, and the reasons why other texts are not. If a case expects a reason, it expects an empty address.
func TestAddresses(t *testing.T) {
	t.Parallel()
	const eric = "eric@example.com"
	for _, test := range []struct{ text, address, reason string }{
		{eric, eric, ""},
		{"Eric.Smith+ps@Example.COM", "Eric.Smith+ps@Example.COM", ""},
		{"o'brien@example.com", "o'brien@example.com", ""},
		{"  eric@example.com\t", eric, ""},

		// Invisible characters, and other forms of the visible ones.
		{"eric@example.com\u200b", eric, ""},
		{"\ufefferic@example.com", eric, ""},
		{"\u202aeric@example.com\u202c", eric, ""},
		{"\u2066eric@example.com\u2069", eric, ""},
		{"er\u00adic@exam\u2060ple.com", eric, ""},
		{"eric@example.com\u00a0", eric, ""},
		{"eric@example.com\r\n", eric, ""},
		{"eric@example.com\x00", eric, ""},
		{"ｅｒｉｃ＠ｅｘａｍｐｌｅ．ｃｏｍ", eric, ""},

		// Text around one address.
		{"Eric Smith <eric@example.com>", eric, ""},
		{"\"Smith, Eric\" <eric@example.com>", eric, ""},
		{"<eric@example.com>", eric, ""},
		{"eric@example.com (work)", eric, ""},
		{"mailto:eric@example.com", eric, ""},
		{"MAILTO:eric@example.com?subject=Deed", eric, ""},
		{"mailto:eric%40example.com", eric, ""},
		{"eric@example.com.", eric, ""},
		{"eric@example.com;", eric, ""},
		{"eric@example.com,", eric, ""},
		{"'eric@example.com'", eric, ""},
		{"\"eric@example.com\"", eric, ""},
		{"“eric@example.com”", eric, ""},

		// Several addresses: the signer's address is unknown.
		{"eric@example.com, ann@example.com", "", AddressSeveral},
		{"eric@example.com; ann@example.com", "", AddressSeveral},
		{"eric@example.com ann@example.com", "", AddressSeveral},
		{"eric@example.com / ann@example.com", "", AddressSeveral},
		{"eric@example.com or ann@example.com", "", AddressSeveral},
		{"eric@example.com\nann@example.com", "", AddressSeveral},
		{"Eric <eric@example.com>, Ann <ann@example.com>", "", AddressSeveral},
		{"eric@ann@example.com", "", AddressSeveral},
		{"\"ann@example.com\" <eric@example.com>", "", AddressSeveral}, // a mail program shows one address and writes to the other
		{"ann@example.com <eric@example.com>", "", AddressSeveral},
		{"eric@example.com (ann@example.com)", "", AddressSeveral},
		{"group: eric@example.com;", "", AddressInvalid},
		{"group: eric@example.com, ann@example.com;", "", AddressSeveral},
		{"@example.org:eric@example.com", "", AddressSeveral},

		// Domains outside ASCII.
		{"eric@b\u00fccher.example", "eric@xn--bcher-kva.example", ""},
		{"eric@bu\u0308cher.example", "eric@xn--bcher-kva.example", ""},
		{"eric@B\u00dcCHER.example", "eric@xn--bcher-kva.example", ""},
		{"eric@\u4f8b\u3048\u3002example", "eric@xn--r8jz45g.example", ""},
		{"Eric <eric@b\u00fccher.example>", "eric@xn--bcher-kva.example", ""},
		{"eric@xn--bcher-kva.example", "eric@xn--bcher-kva.example", ""},
		{"eric@b\u00fccher.example.", "eric@xn--bcher-kva.example", ""},
		{"eric@-\u00fc.example", "", AddressInvalid},
		{"eric@\u2603.example", "eric@xn--n3h.example", ""}, // some registries accept symbols

		// Local parts outside ASCII: the mail server decides.
		{"\u7528\u6237@example.com", "\u7528\u6237@example.com", ""},
		{"m\u00fcller@b\u00fccher.example", "m\u00fcller@xn--bcher-kva.example", ""},

		// Domains inside the mail server's network.
		{"eric@localhost", "", AddressInvalid},
		{"eric@LOCALHOST.", "", AddressInvalid},
		{"eric@localhost.localdomain", "", AddressInvalid},
		{"eric@a.localhost", "", AddressInvalid},
		{"eric@127.0.0.1", "", AddressInvalid},
		{"eric@[127.0.0.1]", "", AddressInvalid},
		{"eric@[IPv6:::1]", "", AddressInvalid},
		{"Eric <eric@[127.0.0.1]>", "", AddressInvalid},
		{"eric@127.1", "", AddressInvalid},
		{"eric@0x7f.0.0.1", "", AddressInvalid},
		{"eric@2130706433", "", AddressInvalid},
		{"eric@\uff11\uff12\uff17.0.0.1", "", AddressInvalid},
		{"eric@127\u30020\u30020\u30021", "", AddressInvalid},
		{"eric@mailserver", "", AddressInvalid},
		{"eric@mailserver.", "", AddressInvalid},
		{"eric@db.internal.", "", AddressInvalid},
		{"mailto:eric@db.internal", "", AddressInvalid},
		{"eric@printer.local", "", AddressInvalid},
		{"eric@internal.example.com", "eric@internal.example.com", ""},

		// No address.
		{"", "", NoAddress},
		{" \u200b ", "", NoAddress},
		{"eric", "", AddressInvalid},
		{"eric at example.com", "", AddressInvalid},
		{"eric@", "", AddressInvalid},
		{"@example.com", "", AddressInvalid},
		{"eric@example..com", "", AddressInvalid},
		{"eric.@example.com", "", AddressInvalid},
		{".eric@example.com", "", AddressInvalid},
		{"er ic@example.com", "", AddressInvalid},
		{"\"er ic\"@example.com", "", AddressInvalid},
		{"null", "", AddressInvalid},
		{"n/a", "", AddressInvalid},
		{"mailto:", "", AddressInvalid},
		{"+13175551234", "", AddressInvalid},
		{"eric@example.com work", "", AddressInvalid},
		{"eric@exam\xffple.com", "", AddressInvalid},
	} {
		if address, reason := mailbox(test.text); address != test.address || reason != test.reason {
			t.Errorf("%+q: %q, %q; want %q, %q", test.text, address, reason, test.address, test.reason)
		}
	}
}
