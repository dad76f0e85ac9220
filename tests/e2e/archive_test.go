package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// filesOf has the kinds of files that a provider has of a completed document.
var filesOf = map[string][]string{
	"clickwrap":  {"signed"},
	"pleasesign": {"certificate", "original", "signed"},
	"esign-v1":   {"signed"},
}

// restored is the one document of the stories that its provider needs four hours to return.
const restored = "Supply Agreement"

// everyCompletedDocumentIsArchived requires each file of each completed document in the archive, with the hash of a file that the provider served.
func everyCompletedDocumentIsArchived(t *testing.T, h *testenv.Env) {
	t.Helper()
	completed, archived := map[string]*signingv1.SigningEvent{}, map[string][]*signingv1.File{}
	waits := 0
	h.Until(t, "every file is archived", func() bool {
		clear(completed)
		clear(archived)
		for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), "signing.v1.*.*.document.>", time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			switch e.GetType() {
			case event.DocumentCompleted:
				completed[e.GetDocument().GetId()] = e
			case event.DocumentArchived:
				archived[e.GetDocument().GetId()] = append(archived[e.GetDocument().GetId()], e.GetFile())
			}
		}
		waits = h.Count(t, flow.Archive, flow.ArchivesOf("*", "*", ""))
		due := 0
		for _, e := range completed {
			due += len(filesOf[e.GetProvider()])
		}
		found := 0
		for _, files := range archived {
			found += len(files)
		}
		return len(completed) > 0 && found+waits == due // the document that is being restored has one file, which waits
	})
	if waits != 1 {
		t.Errorf("%d documents wait for a file, want only %q", waits, restored)
	}
	served := h.ServedFiles(t)
	for id, e := range completed {
		var kinds []string
		for _, f := range archived[id] {
			kinds = append(kinds, f.GetKind())
			if !slices.Contains(served, testenv.ServedFile{Document: id, Kind: f.GetKind(), Size: int(f.GetSize()), SHA256: f.GetSha256()}) {
				t.Errorf("%s/%s: %v was not served", e.GetProvider(), id, f)
			}
			content, err := os.ReadFile(filepath.Join(h.Archive(), filepath.FromSlash(f.GetKey())))
			sum := sha256.Sum256(content)
			if err != nil || hex.EncodeToString(sum[:]) != f.GetSha256() {
				t.Errorf("%s/%s: the archive has other content under %s: %v", e.GetProvider(), id, f.GetKey(), err)
			}
		}
		slices.Sort(kinds)
		if want := filesOf[e.GetProvider()]; !slices.Equal(kinds, want) && (e.GetProvider() != "esign-v1" || len(kinds) > 0) {
			t.Errorf("%s/%s: archived are %q, want %q", e.GetProvider(), id, kinds, want)
		}
	}
}
