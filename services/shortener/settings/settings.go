// Package shortenersettings contains the settings of the shortener. The senders read the beginning of short links.
package shortenersettings

import (
	"net/netip"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Shortener configures short links.
type Shortener struct {
	Kind      string `yaml:"kind"`       // builtin, bitly, rebrandly
	PublicURL string `yaml:"public_url"` // the beginning of our own links, e.g. https://sign.acme.example
	// ExpireAfter is the time for which a link works after its creation; at most 2160h, 90 days, the default.
	ExpireAfter time.Duration `yaml:"expire_after"`
	// PerMinute limits the codes without a link that one client address may try, and how often it may open each link; default 60.
	PerMinute int `yaml:"per_minute"`
	// TrustedProxies are the networks of the proxies in front of the shortener, e.g. 10.0.0.0/8. Their X-Forwarded-For names the client. The
	// header is ignored from any other address. The header Forwarded is not read.
	TrustedProxies []string `yaml:"trusted_proxies"`

	Bitly     Bitly     `yaml:"bitly"`
	Rebrandly Rebrandly `yaml:"rebrandly"`
}

// Section is the key shortener.
var Section = &config.Section[Shortener]{
	Key: "shortener",
	Default: Shortener{
		Kind:        "builtin",
		ExpireAfter: linkLife,
		PerMinute:   60,
		Bitly:       defaultBitly,
		Rebrandly:   defaultRebrandly,
	},
	Check: check,
	Warn:  warn,
}

// Links is the key links, the listener of GET /l/{code}: SIGNRELAY_LINKS_ADDR.
var Links = config.ListenSection("links", "127.0.0.1:8083")

// Domain returns the domain of the outside shortener's links, without a scheme; empty for the built-in shortener.
func (s Shortener) Domain() string {
	switch s.Kind {
	case "bitly":
		return s.Bitly.Domain
	case "rebrandly":
		return s.Rebrandly.Domain
	default:
		return ""
	}
}

// linkLife is the maximum lifetime of a link: the retention of its bucket.
const linkLife = 90 * 24 * time.Hour

func check(c *config.Checker, s Shortener, _ config.Config) {
	c.OneOf("shortener.kind", s.Kind, "builtin", "bitly", "rebrandly")
	c.WebURL("shortener.public_url", s.PublicURL)
	c.BaseURL("shortener.public_url", s.PublicURL, "/l")
	if s.ExpireAfter <= 0 || s.ExpireAfter > linkLife {
		c.Mistake("shortener.expire_after", "want more than 0 and at most %v, not %v", linkLife, s.ExpireAfter)
	}
	c.Positive("shortener.per_minute", int64(s.PerMinute))
	for _, network := range s.TrustedProxies {
		if _, err := netip.ParsePrefix(network); err != nil {
			c.Mistake("shortener.trusted_proxies", "want networks such as 10.0.0.0/8 or 2001:db8::/32, not %q", network)
		}
	}
	s.Bitly.check(c)
	s.Rebrandly.check(c)
}

func warn(s Shortener, all config.Config) []config.Warning {
	var found []config.Warning
	if strings.HasPrefix(s.PublicURL, "https://") && len(s.TrustedProxies) == 0 && !all.TLS.Set() {
		found = append(found, config.Warning{
			Key:   "shortener.trusted_proxies",
			Found: "public_url is https, but the shortener serves plain HTTP: the proxy in front of it is not in the settings, so all clients that guess codes count as one",
			Fix:   "set it to the proxy's network",
		})
	}
	for _, network := range s.TrustedProxies {
		if strings.HasSuffix(network, "/0") {
			found = append(found, config.Warning{
				Key:   "shortener.trusted_proxies",
				Found: network + " contains every address: a client can claim any address in X-Forwarded-For and avoid the limits",
				Fix:   "set only the networks of your proxies",
			})
		}
	}
	return found
}
