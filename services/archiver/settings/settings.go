// Package archivesettings contains the settings of the archive: the archiver writes it, and the shortener reads it.
package archivesettings

import (
	"net/url"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Archive configures where the files of completed documents are stored.
type Archive struct {
	// URL is the blob store: file:///folder, s3://bucket, gs://bucket or azblob://container. Empty: none; `signrelay run` with its own broker uses a
	// folder in its data directory.
	URL string `yaml:"url"`
	// Disabled switches the archive off also where it has a default.
	Disabled bool `yaml:"disabled"`
	// MaxMegabytes is the size of a file, in MB, above which it is not archived; default 1000.
	MaxMegabytes int `yaml:"max_megabytes"`
	// RetryFor is the time for which a file that is not available is requested again; at most 2136h, the age of the log's oldest events. Default
	// 720h.
	RetryFor time.Duration `yaml:"retry_for"`
	// TempDir is the folder in which a file is while it is being read from its provider; empty: the archive's own folder, or the system's.
	TempDir string `yaml:"temp_dir"`
}

// Section is the key archive.
var Section = &config.Section[Archive]{
	Key:     "archive",
	Default: Archive{MaxMegabytes: 1000, RetryFor: 720 * time.Hour},
	Check:   check,
}

// On reports whether files are archived.
func (a Archive) On() bool { return a.URL != "" && !a.Disabled }

// mostRetryFor is flow.LogReaches: an older event may have been removed.
const mostRetryFor = 89 * 24 * time.Hour

func check(c *config.Checker, a Archive, _ config.Config) {
	if a.URL != "" {
		checkURL(c, a.URL)
	}
	c.Positive("archive.max_megabytes", int64(a.MaxMegabytes))
	if a.RetryFor <= 0 || a.RetryFor > mostRetryFor {
		c.Mistake("archive.retry_for", "want more than 0 and at most %v, not %v", mostRetryFor, a.RetryFor)
	}
}

// checkURL omits the value from its errors, because a query may contain a secret.
func checkURL(c *config.Checker, text string) {
	const key = "archive.url"
	u, err := url.Parse(text)
	if err != nil {
		c.Mistake(key, "want a URL, such as file:///var/lib/signrelay/archive or s3://bucket?region=eu-central-1")
		return
	}
	switch u.Scheme {
	case "file":
		switch {
		case u.Host != "" || len(u.Path) < 2:
			c.Mistake(key, "want three slashes and the path of a folder, such as file:///var/lib/signrelay/archive")
		case u.RawQuery != "":
			c.Mistake(key, "leave out the ? and the rest: a folder has no options")
		}
		return
	case "s3", "gs", "azblob":
	default:
		c.Mistake(key, "want file:///folder, s3://bucket, gs://bucket or azblob://container")
		return
	}
	switch {
	case u.User != nil:
		c.Mistake(key, "leave out the user and the password: the credentials come from the environment (docs/operate.md)")
	case u.Hostname() == "":
		c.Mistake(key, "want the name of a bucket or container after %s://", u.Scheme)
	case u.Path != "" && u.Path != "/":
		c.Mistake(key, "want only the name of the bucket, not a path in it: add ?prefix=folder/ instead")
	}
	if endpoint := u.Query().Get("endpoint"); endpoint != "" {
		c.WebURL(key+" (endpoint)", endpoint)
	}
}
