package enricher

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
		{"eric@example.com, ann@example.com", "", addressSeveral},
		{"eric@example.com; ann@example.com", "", addressSeveral},
		{"eric@example.com ann@example.com", "", addressSeveral},
		{"eric@example.com / ann@example.com", "", addressSeveral},
		{"eric@example.com or ann@example.com", "", addressSeveral},
		{"eric@example.com\nann@example.com", "", addressSeveral},
		{"Eric <eric@example.com>, Ann <ann@example.com>", "", addressSeveral},
		{"eric@ann@example.com", "", addressSeveral},
		{"\"ann@example.com\" <eric@example.com>", "", addressSeveral}, // a mail program shows one address and writes to the other
		{"ann@example.com <eric@example.com>", "", addressSeveral},
		{"eric@example.com (ann@example.com)", "", addressSeveral},
		{"group: eric@example.com;", "", addressInvalid},
		{"group: eric@example.com, ann@example.com;", "", addressSeveral},
		{"@example.org:eric@example.com", "", addressSeveral},

		// Domains outside ASCII.
		{"eric@b\u00fccher.example", "eric@xn--bcher-kva.example", ""},
		{"eric@bu\u0308cher.example", "eric@xn--bcher-kva.example", ""},
		{"eric@B\u00dcCHER.example", "eric@xn--bcher-kva.example", ""},
		{"eric@\u4f8b\u3048\u3002example", "eric@xn--r8jz45g.example", ""},
		{"Eric <eric@b\u00fccher.example>", "eric@xn--bcher-kva.example", ""},
		{"eric@xn--bcher-kva.example", "eric@xn--bcher-kva.example", ""},
		{"eric@b\u00fccher.example.", "eric@xn--bcher-kva.example", ""},
		{"eric@-\u00fc.example", "", addressInvalid},
		{"eric@\u2603.example", "eric@xn--n3h.example", ""}, // some registries accept symbols

		// Local parts outside ASCII: the mail server decides.
		{"\u7528\u6237@example.com", "\u7528\u6237@example.com", ""},
		{"m\u00fcller@b\u00fccher.example", "m\u00fcller@xn--bcher-kva.example", ""},

		// Domains inside the mail server's network.
		{"eric@localhost", "", addressInvalid},
		{"eric@LOCALHOST.", "", addressInvalid},
		{"eric@localhost.localdomain", "", addressInvalid},
		{"eric@a.localhost", "", addressInvalid},
		{"eric@127.0.0.1", "", addressInvalid},
		{"eric@[127.0.0.1]", "", addressInvalid},
		{"eric@[IPv6:::1]", "", addressInvalid},
		{"Eric <eric@[127.0.0.1]>", "", addressInvalid},
		{"eric@127.1", "", addressInvalid},
		{"eric@0x7f.0.0.1", "", addressInvalid},
		{"eric@2130706433", "", addressInvalid},
		{"eric@\uff11\uff12\uff17.0.0.1", "", addressInvalid},
		{"eric@127\u30020\u30020\u30021", "", addressInvalid},
		{"eric@mailserver", "", addressInvalid},
		{"eric@mailserver.", "", addressInvalid},
		{"eric@db.internal.", "", addressInvalid},
		{"mailto:eric@db.internal", "", addressInvalid},
		{"eric@printer.local", "", addressInvalid},
		{"eric@internal.example.com", "eric@internal.example.com", ""},

		// No address.
		{"", "", noAddress},
		{" \u200b ", "", noAddress},
		{"eric", "", addressInvalid},
		{"eric at example.com", "", addressInvalid},
		{"eric@", "", addressInvalid},
		{"@example.com", "", addressInvalid},
		{"eric@example..com", "", addressInvalid},
		{"eric.@example.com", "", addressInvalid},
		{".eric@example.com", "", addressInvalid},
		{"er ic@example.com", "", addressInvalid},
		{"\"er ic\"@example.com", "", addressInvalid},
		{"null", "", addressInvalid},
		{"n/a", "", addressInvalid},
		{"mailto:", "", addressInvalid},
		{"+13175551234", "", addressInvalid},
		{"eric@example.com work", "", addressInvalid},
		{"eric@exam\xffple.com", "", addressInvalid},
	} {
		if address, reason := mailbox(test.text); address != test.address || reason != test.reason {
			t.Errorf("%+q: %q, %q; want %q, %q", test.text, address, reason, test.address, test.reason)
		}
	}
}
