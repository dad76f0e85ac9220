package party

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"codeberg.org/go-pdf/fpdf"
)

// FileKind is a kind of file of a document.
type FileKind string

// The files of a document.
const (
	OriginalFile    FileKind = "original"    // before the first signature
	SignedFile      FileKind = "signed"      // with the signatures so far
	CertificateFile FileKind = "certificate" // who signed when
)

// ServedFile is a file that a provider has served.
type ServedFile struct {
	Document string   `json:"document"` // its id
	Kind     FileKind `json:"kind"`
	Size     int      `json:"size"`
	SHA256   string   `json:"sha256"`
}

// maxServed bounds the list of served files, about 150 bytes each. After that, the oldest are removed.
const maxServed = 10_000

// Serve responds with a file of a document.
func (t *Tickets) Serve(w http.ResponseWriter, d Document, kind FileKind) {
	body, err := PDF(d, kind)
	if err != nil {
		http.Error(w, "make the PDF: "+err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(body)
	t.mu.Lock()
	if len(t.served) == maxServed {
		t.served = slices.Delete(t.served, 0, 1)
	}
	t.served = append(t.served, ServedFile{d.ID, kind, len(body), hex.EncodeToString(sum[:])})
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client has disconnected
}

// Served returns the files that were served, oldest first.
func (t *Tickets) Served() []ServedFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]ServedFile{}, t.served...)
}

// PDF returns a file of a document in its current state. The same state has the same bytes.
func PDF(d Document, kind FileKind) ([]byte, error) {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(d.Created)
	pdf.SetModificationDate(d.Created)
	legible := pdf.UnicodeTranslatorFromDescriptor("") // the built-in fonts have Western letters only
	pdf.AddPage()
	line := func(size, height float64, text string) {
		pdf.SetFont("Helvetica", "", size)
		pdf.MultiCell(0, height, legible(text), "", "L", false)
	}
	switch kind {
	case CertificateFile:
		line(18, 10, "Certificate of "+d.Title)
	default:
		line(18, 10, d.Title)
	}
	line(10, 6, "Document "+d.ID)
	if kind != OriginalFile {
		for _, who := range d.Recipients {
			if who.Stage == StageSigned {
				line(12, 8, "Signed by "+who.Name()+" on "+who.Since.UTC().Format(time.RFC1123))
			}
		}
	}
	var out bytes.Buffer
	if err := pdf.Output(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// LargeFile is the size in bytes of the file that the fault Large makes.
const LargeFile = 500_000_000

// WriteLarge writes a valid PDF of a size. Most of it is comments, which it makes while it writes.
func WriteLarge(w io.Writer, size int) error {
	small, err := PDF(Document{Draft: Draft{Title: "A large document"}}, OriginalFile)
	if err != nil {
		return err
	}
	table := bytes.LastIndex(small, []byte("startxref\n"))
	end := small[table:] // a reader takes the last one of the file
	if _, err := w.Write(small); err != nil {
		return err
	}
	filler := append(bytes.Repeat([]byte("%"), 64<<10-1), '\n')
	for left := size - len(small) - len(end); left > 0; left -= len(filler) {
		if left < len(filler) {
			filler = append(bytes.Repeat([]byte("%"), left-1), '\n')
		}
		if _, err := w.Write(filler); err != nil {
			return err
		}
	}
	_, err = w.Write(end)
	return err
}

// writeLarge responds with a PDF of 500 MB.
func writeLarge(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Length", strconv.Itoa(LargeFile))
	_ = WriteLarge(w, LargeFile) // an error means that the client has disconnected
}

// writePage responds with a page in place of the file, with status 200, as a proxy or a login page does.
func writePage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>Service unavailable</title><p>Please try again later.")
}
