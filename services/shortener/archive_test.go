package shortener_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// A finished document that its provider has no more is served from the archive, after the same button. A person who may not open it gets the page
// that says so.
func TestADocumentIsServedFromTheArchive(t *testing.T) {
	t.Parallel()
	content := []byte("%PDF-1.7 archived")
	folder := t.TempDir()
	address := "file://" + filepath.ToSlash(folder)
	store, err := archive.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "signed", content)
	put(t, store, "original", []byte("%PDF-1.7 before the signatures"))

	download, sign := notifyv1.Link_PURPOSE_DOWNLOAD, notifyv1.Link_PURPOSE_SIGN
	for name, c := range map[string]struct {
		purpose notifyv1.Link_Purpose
		err     error
		status  int
	}{
		"the provider has it no more":         {download, &pack.NotOpenError{Reason: pack.Gone, Archived: true}, 200},
		"the provider restores it":            {download, &pack.NotOpenError{Reason: pack.NotYet, In: 4 * time.Hour, Archived: true}, 200},
		"the person is no more on it":         {download, &pack.NotOpenError{Reason: pack.Gone}, 410},
		"it was declined":                     {download, &pack.NotOpenError{Reason: pack.Ended}, 410},
		"it is not finished":                  {download, &pack.NotOpenError{Reason: pack.NotYet}, 503},
		"the provider does not respond":       {download, outcome.Failure(outcome.Provider, "", &pack.CallError{Op: "x", Err: errors.New("no response")}), 503},
		"the link is one to the signing page": {sign, &pack.NotOpenError{Reason: pack.Gone, Archived: true}, 410},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := benchWith(t, sourcesOf(fails(c.err)), func(cfg *config.Config) { archivesettings.Section.In(cfg).URL = address })
			n := invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS)
			n.Link = &notifyv1.Link{Purpose: c.purpose}
			publish(t, b, n)
			link := local(b, shortened(t, b, 1)["n1"])
			if page := request(t, http.MethodGet, link); page.status != http.StatusOK || page.body == string(content) {
				t.Errorf("without the button: %d", page.status)
			}
			got := request(t, http.MethodPost, link)
			checkHeaders(t, got)
			if got.status != c.status || (got.body == string(content)) != (c.status == 200) {
				t.Errorf("%d %q, want %d", got.status, got.body, c.status)
			}
			if c.status == 200 {
				checkOpenings(t, b, 1)
			}
		})
	}
}

// put archives a file of the document of invitation.
func put(t *testing.T, store *archive.Store, kind string, content []byte) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	d := archive.Document{Source: "acme", Provider: "clickwrap", ID: "doc 1"}
	if _, _, err := store.Put(t.Context(), d, archive.Name{Kind: kind, SHA256: hex.EncodeToString(sum[:])}, f); err != nil {
		t.Fatal(err)
	}
}
