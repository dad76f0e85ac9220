package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// fetcher reads files from the addresses that providers return, without the source's credentials.
type fetcher struct {
	public, any *http.Client // any also connects to private networks
	most        int64        // bytes of a file
	idle        time.Duration
	temporary   func() (*os.File, error) // makes a file without a name
}

// The time limits of a download. The stage's timeout limits the whole attempt.
const (
	responseWithin = 30 * time.Second // the first byte of a response
	idleWithin     = time.Minute      // between two bytes of a body
)

// newFetcher returns a fetcher with these settings. The temporary files of an archive in a folder are in that folder: it has room, or nothing can be
// archived.
func newFetcher(s archivesettings.Archive) fetcher {
	folder := s.TempDir
	if u, err := url.Parse(s.URL); folder == "" && err == nil && u.Scheme == "file" {
		folder = filepath.FromSlash(u.Path)
	}
	return fetcher{
		public: newClient(true), any: newClient(false), most: int64(s.MaxMegabytes) * 1_000_000, idle: idleWithin,
		temporary: func() (*os.File, error) { return unnamed(folder) },
	}
}

// unnamed creates a temporary file and removes its name at once, so that a killed program leaves no document on the disk.
func unnamed(folder string) (*os.File, error) {
	f, err := os.CreateTemp(folder, "signrelay-archive-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// to writes the file of a target to the disk, and returns its SHA-256. It closes the target's body. apiURL is the API's address in the source's
// settings. The errors are failures without an address, because an address is a secret.
func (f fetcher) to(ctx context.Context, disk *os.File, target *pack.Target, apiURL string) (sum string, err error) {
	body, media, size := target.Body, target.ContentType, target.Size
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if body == nil {
		response, err := f.get(ctx, target.URL, apiURL) //nolint:bodyclose // body is closed below
		if err != nil {
			return "", err
		}
		body, media, size = response.Body, response.Header.Get("Content-Type"), response.ContentLength
	}
	defer func() { _ = body.Close() }()
	if !isPDF(media) {
		return "", provided(notPDF, "the response's type is not a PDF's")
	}
	if size > f.most {
		return "", f.large()
	}
	late := time.AfterFunc(f.idle, func() {
		cancel(context.DeadlineExceeded)
		_ = body.Close() // ends a read of a body that does not belong to ctx
	})
	defer late.Stop()
	return f.copy(disk, &moving{body, late, f.idle}, size)
}

// moving is a body whose timer starts again with each read.
type moving struct {
	io.Reader

	late *time.Timer
	idle time.Duration
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.late.Reset(m.idle)
	}
	return n, err
}

// get requests a file.
func (f fetcher) get(ctx context.Context, address, apiURL string) (*http.Response, error) {
	if !pack.Address(address) {
		return nil, provided(forbidden, "the file's address is not an http or https address")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, provided(forbidden, "the file's address is not a URL")
	}
	r.Header.Set("Accept", archiveMedia)
	r.Header.Set("Accept-Encoding", "identity") // so that the response states its length
	response, err := f.client(ctx, r, apiURL).Do(r)
	switch {
	case errors.Is(err, errPrivate):
		return nil, provided(forbidden, "the file's address is in a private network")
	case errors.Is(err, errRedirect):
		return nil, provided(forbidden, "the file's address redirects too often, or to an address that is not https")
	case err != nil:
		return nil, provided(noResponse, "the server of the file did not respond")
	case response.StatusCode == http.StatusOK:
		return response, nil
	}
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
	_ = response.Body.Close()
	why := provided(refused, fmt.Sprintf("the server of the file responded with status %d", response.StatusCode))
	why.after = min(limit.RetryAfter(response.Header, time.Now()), 24*time.Hour)
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		why.reason, why.gone = deadLink, true
	}
	return nil, why
}

// isPDF reports whether a media type may be that of a PDF. Object stores often have no better type than that of any bytes.
func isPDF(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && (media == archiveMedia || media == "application/octet-stream" || media == "binary/octet-stream")
}

const archiveMedia = "application/pdf"

// copy reads a body of that size, or of an unknown size if it is negative. A PDF begins with its mark, and its end has another one.
func (f fetcher) copy(disk *os.File, body io.Reader, size int64) (sum string, err error) {
	hash := sha256.New()
	to := &writer{to: io.MultiWriter(disk, hash)}
	first := make([]byte, len(pdfBegins))
	if _, err := io.ReadFull(body, first); err != nil {
		return "", readFailure(err)
	}
	if !bytes.Equal(first, []byte(pdfBegins)) {
		return "", provided(notPDF, "the response is not a PDF")
	}
	if _, err := to.Write(first); err != nil {
		return "", diskFailure(err)
	}
	n, err := io.Copy(to, io.LimitReader(body, f.most-int64(len(first))+1))
	n += int64(len(first))
	switch {
	case to.err != nil:
		return "", diskFailure(to.err)
	case err != nil:
		return "", readFailure(err)
	case n > f.most:
		return "", f.large()
	case size >= 0 && n != size:
		return "", provided(truncated, "the response is shorter than it says")
	case size < 0 && !bytes.Contains(to.tail, []byte(pdfEnds)):
		// Without a length, the end of the connection looks like the end of the file.
		return "", provided(truncated, "the response has no length, and the end of the PDF is missing")
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// The marks of a PDF. The second one is within its last 1,024 bytes (ISO 32000-1, annex H).
const (
	pdfBegins = "%PDF-"
	pdfEnds   = "%%EOF"
	pdfTail   = 1024
)

func (f fetcher) large() failure {
	why := failure{reason: tooLarge, fault: outcome.Operator, never: true}
	why.err = fmt.Errorf("the file is larger than archive.max_megabytes (%d): raise it, and replay the dead letter", f.most/1_000_000)
	return why
}

func readFailure(err error) failure {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return provided(truncated, "the response ended too early")
	}
	return provided(truncated, "the connection broke, or stood still, before the end of the file")
}

// writer keeps its own error apart from that of the reader, and the last bytes.
type writer struct {
	to   io.Writer
	err  error
	tail []byte
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.err = err
	w.tail = append(w.tail, p[max(0, len(p)-pdfTail):]...)
	w.tail = append(w.tail[:0], w.tail[max(0, len(w.tail)-pdfTail):]...)
	return n, err
}
