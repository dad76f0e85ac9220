package archiver

import (
	"net/http"
	runtimemetrics "runtime/metrics"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	_ "gocloud.dev/blob/s3blob"

	"github.com/signrelay/signrelay/libs/realtest"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// mostMemory is the memory that a file may add, whatever its size.
const mostMemory = 64 << 20

// A file of 500 MB in a folder, and one of 100 MB at an S3 server, which gets it in parts. This test is not parallel, so that no other test uses
// memory meanwhile.
func TestALargeFileNeedsLittleMemory(t *testing.T) { //nolint:paralleltest // see above
	for name, row := range map[string]struct { //nolint:paralleltest // see above
		size int
		url  func(*testing.T) string
	}{
		"in a folder":     {500_000_000, nil},
		"at an S3 server": {100_000_000, func(t *testing.T) string { return realtest.S3(t).URL }},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, options{settings: func(a *archivesettings.Archive) {
				if a.MaxMegabytes = 500; row.url != nil {
					a.URL = row.url(t)
				}
			}})
			h.world.esign(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/pdf")
				w.Header().Set("Content-Length", strconv.Itoa(row.size))
				_ = party.WriteLarge(w, row.size)
			})
			before, stop := memory(), make(chan struct{})
			var peak atomic.Uint64
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond):
						peak.Store(max(peak.Load(), memory()))
					}
				}
			}()
			h.complete("esign-v1")
			f := h.archived(1)[0].GetFile()
			close(stop)
			if f.GetSize() != uint64(row.size) {
				t.Errorf("%d bytes are archived, want %d", f.GetSize(), row.size)
			}
			t.Logf("%d bytes: the memory grew from %d to at most %d KiB", row.size, before>>10, peak.Load()>>10)
			if grown := int64(peak.Load()) - int64(before); grown > mostMemory {
				t.Errorf("the memory grew by %d MiB, want at most %d", grown>>20, mostMemory>>20)
			}
		})
	}
}

// memory returns the bytes that were in use at the end of the last garbage collection. What the collector has not freed yet depends on its
// pace, and is more under the race detector.
func memory() uint64 {
	samples := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(samples)
	return samples[0].Value.Uint64()
}

// While the store is away, no provider is called. The document is archived at the first attempt afterwards.
func TestAnOutageOfTheStore(t *testing.T) {
	t.Parallel()
	server := realtest.S3(t)
	h := start(t, options{settings: func(a *archivesettings.Archive) { a.URL = server.URL }})
	h.world.esign(file(pdf("good")))
	server.Stop()
	h.complete("esign-v1")
	began := h.now()
	attempts := 0
	for h.now().Sub(began) < time.Hour {
		attempts++
		h.waits(attempts)
		h.passes(attempts)
	}
	h.waits(attempts + 1)
	if n := h.world.called("/api/v1/pdf/" + document + "/"); n != 0 {
		t.Errorf("the provider was called %d times while the store was away", n)
	}
	server.Start()
	h.passes(attempts + 1)
	if f := h.archived(1)[0].GetFile(); f.GetSha256() != hashOf(pdf("good")) {
		t.Errorf("archived is %v", f)
	}
	if n := h.world.called("/api/v1/pdf/" + document + "/"); n != 1 || attempts > 8 {
		t.Errorf("the provider was called %d times after %d attempts in an hour", n, attempts)
	}
}
