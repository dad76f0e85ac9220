// Package mailbox decides to which domains e-mail may be sent when the address comes from outside.
package mailbox

import (
	"slices"
	"strings"
)

// private are the top-level domains for hosts of a local network, or for no host: RFC 6761, RFC 6762, RFC 8375, RFC 7686, ICANN's
// ".internal", and those that ICANN does not delegate because networks use them. ".example" stays: documents and the sandbox use it.
var private = []string{"localhost", "localdomain", "local", "internal", "intranet", "private", "lan", "home", "corp", "mail", "arpa", "onion", "invalid", "test"}

// Public reports whether a domain, in ASCII, can be a mail domain of the internet. For localhost, an IP address or a host without a dot, a
// mail server would deliver inside its own network. An address from a provider must not reach that network.
func Public(domain string) bool {
	labels := strings.Split(strings.ToLower(domain), ".")
	top := labels[len(labels)-1]
	return len(domain) <= 253 && len(labels) > 1 && !slices.ContainsFunc(labels, malformed) && !numeric(top) && !slices.Contains(private, top)
}

// PublicAddress works like Public, for the domain of an address.
func PublicAddress(address string) bool {
	return Public(address[strings.LastIndexByte(address, '@')+1:])
}

// malformed reports whether a label contains other characters than letters, digits and inner hyphens, or more than 63. Underscores occur in
// real domains.
func malformed(label string) bool {
	return label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
}

// numeric reports whether a label makes a name an IP address: "1" of 127.1, "0x1" of 0x7f.0x1. No top-level domain begins with a digit.
func numeric(label string) bool { return label[0] >= '0' && label[0] <= '9' }
