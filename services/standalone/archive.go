package standalone

import (
	"net/url"
	"path/filepath"

	"github.com/signrelay/signrelay/libs/config"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
)

// WithArchive returns the settings with an archive in the data directory, if they have no other, and if the broker is the embedded one. With
// another broker several processes may run, and each would have an archive of its own.
func WithArchive(cfg config.Config) config.Config {
	is := archivesettings.Section.Of(cfg)
	if is.URL != "" || is.Disabled || cfg.NATS.URL != "" || cfg.DataDir == "" {
		return cfg
	}
	folder, err := filepath.Abs(filepath.Join(cfg.DataDir, archiveDir))
	if err != nil {
		return cfg // the check of the data directory reports it
	}
	archivesettings.Section.In(&cfg).URL = (&url.URL{Scheme: "file", Path: filepath.ToSlash(folder)}).String()
	return cfg
}

// WithIndex returns the settings with a search index in the data directory, in the same cases as WithArchive.
func WithIndex(cfg config.Config) config.Config {
	is := indexsettings.Section.Of(cfg)
	if is.URL != "" || is.Disabled || cfg.NATS.URL != "" || cfg.DataDir == "" {
		return cfg
	}
	file, err := filepath.Abs(filepath.Join(cfg.DataDir, indexDir, "index.db"))
	if err != nil {
		return cfg
	}
	indexsettings.Section.In(&cfg).URL = (&url.URL{Scheme: "sqlite", Path: filepath.ToSlash(file)}).String()
	return cfg
}
