// Package indexsettings contains the settings of the search index: the indexer writes it, and the console reads it.
package indexsettings

import (
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/index/address"
)

// Index configures where the search index of documents is.
type Index struct {
	// URL is the database: sqlite:///path/to/file for one machine, or postgres://user@host/database. Empty: none; `signrelay run` with its own broker
	// uses a file in its data directory.
	URL string `yaml:"url" secret:"url"`
	// Disabled switches the index off also where it has a default.
	Disabled bool `yaml:"disabled"`
}

// Section is the key index.
var Section = &config.Section[Index]{Key: "index", Check: check}

// On reports whether documents are indexed.
func (i Index) On() bool { return i.URL != "" && !i.Disabled }

func check(c *config.Checker, i Index, _ config.Config) {
	if i.URL == "" {
		return
	}
	if _, err := address.Check(i.URL); err != nil {
		c.Mistake("index.url", "%v", err)
	}
}
