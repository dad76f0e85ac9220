package drivers_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/archive/archivetest"
	_ "github.com/signrelay/signrelay/libs/archive/drivers"
	"github.com/signrelay/signrelay/libs/realtest"
)

// Package tests/archive has the stores of Google and Azure.
func TestStores(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(*testing.T) string{
		"a folder":     func(t *testing.T) string { return "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "new")) },
		"an S3 server": func(t *testing.T) string { return realtest.S3(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archivetest.Run(t, at)
		})
	}
}

// An error of a store names the cause, and no key, path or address.
func TestTheErrorsOfAStoreAreShort(t *testing.T) {
	t.Parallel()
	server := realtest.S3(t)
	away := archivetest.Open(t, server.URL)
	server.Stop()
	missing := archivetest.Open(t, strings.Replace(realtest.S3(t).URL, "s3://archive", "s3://other", 1))
	d := archive.Document{Source: "acme", Provider: "pleasesign", ID: "secret-document"}
	for want, s := range map[string]*archive.Store{"connection refused": away, "NoSuchBucket": missing} {
		_, err := s.Of(t.Context(), d)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
