package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// withFile stores a document with signers and an archived file in a folder.
func (w *installation) withFile(folder, document string, signers ...string) {
	w.Helper()
	key := "demo/pleasesign/" + document + "/signed-" + strings.Repeat("0", 64) + ".pdf"
	path := filepath.Join(folder, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("%PDF-"), 0o600); err != nil {
		w.Fatal(err)
	}
	events := []*signingv1.SigningEvent{{Type: event.DocumentSent}}
	for _, signer := range signers {
		events = append(events, &signingv1.SigningEvent{Type: event.RecipientSigned, Recipient: &signingv1.Recipient{Id: "r-" + signer, Email: signer}})
	}
	for n, e := range append(events, &signingv1.SigningEvent{Type: event.DocumentArchived, File: &signingv1.File{Kind: "signed", Key: key}}) {
		e.Source, e.Provider, e.Document, e.OccurredAt = "demo", "pleasesign", &signingv1.Document{Id: document}, timestamppb.New(time.Unix(int64(n), 0))
		e.Id = event.OccurrenceID(e, document, strconv.Itoa(n))
		m, err := event.Message(w.Context(), e)
		if err == nil {
			_, err = w.js.PublishMsg(w.Context(), m)
		}
		if err != nil {
			w.Fatal(err)
		}
	}
}

// The plan of a person names the documents whose files go, and those whose files stay because of other people, and nothing goes before the answer.
func TestErasePersonNamesTheFiles(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	folder := filepath.Join(t.TempDir(), "archive")
	w.withFile(folder, "ALONE1", "jo@example.com")
	w.withFile(folder, "SHARED1", "jo@example.com", "sam@example.com", "kim@example.com")
	files := func() (all []string) {
		found, err := filepath.Glob(filepath.Join(folder, "demo", "pleasesign", "*", "*.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			all = append(all, filepath.Base(filepath.Dir(path)))
		}
		return all
	}
	erase := "erase --person jo@example.com --reason r12 --archive.url file://" + filepath.ToSlash(folder)
	for _, c := range []struct {
		line   string
		status int
		says   []string
		left   string
	}{
		{"erase ALONE1 --reason r12 --shared-files", 2, []string{"--shared-files is for --person"}, "ALONE1 SHARED1"},
		{erase, 1, []string{
			"archive: deleted: 1 file of demo/pleasesign/ALONE1\n", "archive: stays: 1 file of demo/pleasesign/SHARED1, 2 other people", "--shared-files deletes", "pass --yes",
		}, "ALONE1 SHARED1"},
		{erase + " --shared-files", 1, []string{"archive: deleted: 1 file of demo/pleasesign/SHARED1\n"}, "ALONE1 SHARED1"},
		{erase + " --no-overwrite --yes", 0, []string{"Messages are not overwritten", "Removed: "}, "SHARED1"},
		{erase + " --yes", 0, []string{"Nothing was found"}, "SHARED1"},
	} {
		status, stdout, stderr := w.run(c.line)
		for _, says := range c.says {
			if !strings.Contains(stdout+stderr, says) {
				t.Errorf("%s: it does not say %q:\n%s%s", c.line, says, stdout, stderr)
			}
		}
		if status != c.status || strings.Join(files(), " ") != c.left {
			t.Errorf("%s: status %d, files %v:\n%s%s", c.line, status, files(), stdout, stderr)
		}
	}
}
