package config

import "strings"

// Warning is a valid setting that deserves attention.
type Warning struct {
	Key   string // of the setting
	Found string
	Mend  string // the remedy
}

// Warnings returns the warnings for settings that Check accepts.
func Warnings(cfg Config) []Warning {
	all := append(masterKeyWarnings(cfg), shortenerWarnings(cfg)...)
	for _, e := range cfg.list() {
		all = append(all, e.of.warn(cfg)...)
	}
	return all
}

func masterKeyWarnings(cfg Config) []Warning {
	if len(cfg.MasterKeys()) > 0 {
		return nil
	}
	return []Warning{{
		"master_key", "it is not set: who can read Redis or the bucket LINKS can read there which documents and links there are",
		"set SIGNRELAY_MASTER_KEY, the same for all services: openssl rand -base64 32 makes one",
	}}
}

func shortenerWarnings(cfg Config) []Warning {
	var all []Warning
	s := cfg.Shortener
	if strings.HasPrefix(s.PublicURL, "https://") && len(s.TrustedProxies) == 0 {
		all = append(all, Warning{
			"shortener.trusted_proxies", "public_url is https, and the shortener speaks plain HTTP: a proxy stands before it that is not named, so all who guess codes count as one client",
			"set it to the proxy's network",
		})
	}
	for _, network := range s.TrustedProxies {
		if strings.HasSuffix(network, "/0") {
			all = append(all, Warning{
				"shortener.trusted_proxies", network + " is every address: a client can say in X-Forwarded-For that it is another, and no limit holds it",
				"name the networks of your proxies alone",
			})
		}
	}
	return all
}
