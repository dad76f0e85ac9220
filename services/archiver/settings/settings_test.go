package archivesettings_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
)

func TestTheURLOfTheArchive(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                                      "",
		"file:///var/lib/signrelay/archive":     "",
		"s3://acme-archive?region=eu-central-1": "",
		"s3://a?endpoint=https://s3.acme.example&s3ForcePathStyle=true&region=x": "",
		"gs://acme-archive":     "",
		"azblob://acme-archive": "",

		"file://relative/folder":             "three slashes",
		"file:///":                           "three slashes",
		"file:///data?create_dir=true":       "leave out the ?",
		"s3://":                              "the name of a bucket or container after s3://",
		"gs:///":                             "the name of a bucket or container after gs://",
		"s3://acme/folder":                   "?prefix=folder/",
		"s3://key:the-secret@acme":           "leave out the user and the password",
		"s3://acme?endpoint=s3.acme.example": "want an absolute URL",
		"ftp://acme":                         "want file:///folder, s3://bucket",
		"/var/lib/archive":                   "want file:///folder, s3://bucket",
		"mem://":                             "want file:///folder, s3://bucket",
		"://":                                "want a URL",
	} {
		cfg, _, err := config.Load(sections.All, []string{"--archive.url", address}, nil)
		if err == nil {
			err = service.Check(cfg)
		}
		switch {
		case want == "" && err != nil && strings.Contains(err.Error(), "archive."):
			t.Errorf("%s: %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), "archive.url") || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", address, err, want)
		case err != nil && strings.Contains(err.Error(), "the-secret"):
			t.Errorf("the error has the secret: %v", err)
		}
	}
}
