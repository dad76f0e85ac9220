// Package ingestsettings contains the settings of ingest.
package ingestsettings

import "github.com/signrelay/signrelay/libs/config"

// Ingest contains the settings of the public listener for callbacks.
type Ingest struct {
	Addr        string `yaml:"addr"`
	PublicURL   string `yaml:"public_url"`    // the beginning of the addresses at which providers call, e.g. https://sign.acme.example; only commands and the console use it
	MaxInFlight int    `yaml:"max_in_flight"` // the maximum of callbacks in flight; more get 503; default 1024
}

// Section is the key ingest: SIGNRELAY_INGEST_ADDR.
var Section = &config.Section[Ingest]{
	Key:     "ingest",
	Default: Ingest{Addr: ":8080", MaxInFlight: 1024}, // the only listener on all interfaces
	Check: func(c *config.Checker, i Ingest, _ config.Config) {
		c.Address("ingest.addr", i.Addr)
		c.WebURL("ingest.public_url", i.PublicURL)
		c.Positive("ingest.max_in_flight", int64(i.MaxInFlight))
	},
}
