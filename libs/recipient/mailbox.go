package recipient

import (
	"net/mail"
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	mailboxes "github.com/signrelay/signrelay/libs/mailbox"
)

// mailbox parses free text as one e-mail address, or returns the reason why it cannot. It drops a display name, "mailto:", and punctuation
// around the address. It refuses a list, because it is unknown which address is the signer's. It converts an international domain to
// punycode. It refuses a domain that is not one of the internet: localhost, an IP address, a host without a dot. It accepts a local part
// outside ASCII. Whether it works depends on the mail server.
func mailbox(text string) (address, reason string) {
	text = visible(text)
	if text == "" {
		return "", NoAddress
	}
	if scheme, rest, ok := strings.Cut(text, ":"); ok && strings.EqualFold(scheme, "mailto") {
		rest, _, _ = strings.Cut(rest, "?")
		if unescaped, err := url.PathUnescape(rest); err == nil {
			rest = unescaped
		}
		text = visible(rest)
	}
	text = strings.Trim(text, `'’‘“”«» `)
	text = strings.TrimRight(text, ".,;: ")
	if quoted, ok := strings.CutPrefix(text, `"`); ok && strings.HasSuffix(quoted, `"`) {
		text = strings.Trim(text, `"`)
	}
	parsed, err := mail.ParseAddress(text)
	switch {
	case err != nil && strings.Count(text, "@") > 1, err == nil && strings.Contains(parsed.Name, "@"): // "ann@example.com" <eric@example.com>
		return "", AddressSeveral
	case err != nil:
		return "", AddressInvalid
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	local, domain := parsed.Address[:at], strings.TrimSuffix(parsed.Address[at+1:], ".")
	if !ascii(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", AddressInvalid
		}
	}
	if !mailboxes.Public(domain) {
		return "", AddressInvalid
	}
	address = local + "@" + domain
	// ParseAddress removes the quotes of a local part that needs them. The result is then not an address.
	if again, err := mail.ParseAddress(address); err != nil || again.Address != address {
		return "", AddressInvalid
	}
	return address, ""
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}
