// Package ingestsettings is the settings of ingest.
package ingestsettings

import "github.com/signrelay/signrelay/libs/config"

// Ingest is the public listener for callbacks.
type Ingest struct {
	Addr        string `yaml:"addr"`
	MaxInFlight int    `yaml:"max_in_flight"` // callbacks being stored at once before 503; default 1024
}

// Section is the key ingest: SIGNRELAY_INGEST_ADDR.
var Section = &config.Section[Ingest]{
	Key:     "ingest",
	Default: Ingest{Addr: ":8080", MaxInFlight: 1024}, // the only listener that listens on all interfaces
	Check: func(c *config.Checker, i Ingest, _ config.Config) {
		c.Address("ingest.addr", i.Addr)
		c.Positive("ingest.max_in_flight", int64(i.MaxInFlight))
	},
}
