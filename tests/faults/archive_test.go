package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// fileOf is the signed file of a document.
func fileOf(document string) []byte { return []byte("%PDF-1.4\n% " + document + "\n%%EOF\n") }

// filesOf serves the files of documents, and counts the downloads of each.
type filesOf struct {
	mutex   sync.Mutex
	fetched map[string]int
}

func (f *filesOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	document := strings.TrimSuffix(filepath.Base(r.URL.Path), ".pdf")
	f.mutex.Lock()
	f.fetched[document]++
	f.mutex.Unlock()
	w.Header().Set("Content-Type", "application/pdf")
	_, _ = w.Write(fileOf(document))
}

// The archiver dies between each two of its steps. Each file is in the archive once, with one event, and each of the two workers downloads at
// most one file again.
func TestTheArchiverDies(t *testing.T) {
	t.Parallel()
	const documents, dies = 12, 4
	for point, more := range map[string]int{
		"fetched":   1, // it is fetched again
		"archived":  0, // it is found in the archive
		"made":      0,
		"published": 0,
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			files := &filesOf{fetched: map[string]int{}}
			w := newWorld(t, behaviour{})
			w.files = files
			h := testenv.Infrastructure(t, func(h *testenv.Env) string { return settings(h, w) })
			h.StartService(t, "ingest", "ingest")
			h.Variant = crashing
			dying := h.StartService(t, flow.Archiver, flow.Archiver, fmt.Sprintf("SIGNRELAY_TEST_CRASH=%s@%d", point, dies))
			for i := range documents {
				body := fmt.Sprintf(`{"event_type":"request_complete","request":"d-%d","id":"e-%d","created_time":"2026-01-02T03:04:05.000Z"}`, i, i)
				if status, _ := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
					http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}}, []byte(body)); status != http.StatusAccepted {
					t.Fatalf("the callback got status %d", status)
				}
			}
			select {
			case <-dying.Ended():
			case <-time.After(time.Minute):
				t.Fatal("the archiver did not reach its point")
			}
			h.StartService(t, flow.Archiver, flow.Archiver)
			archived := event.TypeFilter(event.DocumentArchived)
			h.Until(t, "every file has an event", func() bool { return h.Count(t, flow.Signing, archived) >= documents })
			h.Until(t, "the archiver is idle", func() bool {
				c, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.Archiver)
				return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
			})
			if n := h.Count(t, flow.Signing, archived); n != documents {
				t.Errorf("the log has %d events document.archived, want %d", n, documents)
			}
			fetched := 0
			for _, n := range files.fetched {
				fetched += n
			}
			if fetched > documents+more+1 || fetched < documents { // the other worker may also die between its download and the archive
				t.Errorf("%d files were fetched, want %d, and at most %d more", fetched, documents, more+1)
			}
			checkArchive(t, h.Archive(), documents)
		})
	}
}

// checkArchive requires exactly one object for each document, with the content of its name.
func checkArchive(t *testing.T, folder string, documents int) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		content, err := os.ReadFile(path)
		sum := sha256.Sum256(content)
		if d.Name() != "signed-"+hex.EncodeToString(sum[:])+".pdf" || !bytes.Equal(content, fileOf(filepath.Base(filepath.Dir(path)))) {
			t.Errorf("%s has the content %q", path, content)
		}
		return err
	})
	if err != nil || found != documents {
		t.Errorf("the archive has %d files, want %d: %v", found, documents, err)
	}
}
