package party

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// Tickets stores the secrets in the providers' addresses for signing and for downloads.
type Tickets struct {
	mu     sync.Mutex
	issued Cache[Ticket]
}

// Ticket describes what a secret address opens.
type Ticket struct {
	Provider *Provider
	Document string // its id
	Who      int    // the recipient's index
	Once     bool   // it opens once

	pdf  bool // the document itself, not a page
	used bool
}

// maxTickets bounds the tickets, about 300 bytes each. After that, the oldest stop working.
const maxTickets = 100_000

// NewTickets returns an empty store.
func NewTickets() *Tickets { return &Tickets{issued: NewCache[Ticket](maxTickets)} }

// Issue returns the secret of a new ticket.
func (t *Tickets) Issue(one Ticket) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	secret := RandomHex(16)
	t.issued.Keep(&one, secret)
	return secret
}

// File returns a new address of a document's PDF.
func (t *Tickets) File(baseURL string, p *Provider, document string) string {
	return baseURL + "/files/" + t.Issue(Ticket{Provider: p, Document: document, pdf: true}) + "/document.pdf"
}

// Use returns the ticket of a secret. before is true if the ticket opens only once and was used.
func (t *Tickets) Use(secret string) (used Ticket, before, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.issued.Find(secret)
	if !ok {
		return Ticket{}, false, false
	}
	before = one.Once && one.used
	one.used = true
	return *one, before, true
}

// GetFile serves GET /files/{ticket}/document.pdf.
func (t *Tickets) GetFile(w http.ResponseWriter, r *http.Request) {
	used, _, ok := t.Use(r.PathValue("ticket"))
	if !ok || !used.pdf {
		http.NotFound(w, r)
		return
	}
	d, ok := used.Provider.Find(used.Document)
	if !ok {
		http.NotFound(w, r)
		return
	}
	WritePDF(w, d)
}

// WritePDF responds with a document's PDF.
func WritePDF(w http.ResponseWriter, d Document) {
	body := PDF(d)
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the browser has disconnected
}

// PDF returns a PDF of one page with the document's title. It omits characters other than printable ASCII.
func PDF(d Document) []byte {
	var title []byte
	for _, r := range d.Title {
		if r >= ' ' && r <= '~' && r != '(' && r != ')' && r != '\\' {
			title = append(title, byte(r))
		}
	}
	text := fmt.Sprintf("BT /F1 18 Tf 72 720 Td (%s) Tj ET", title)
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(text), text),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, object := range objects {
		offsets[i] = out.Len()
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	table := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table)
	return out.Bytes()
}
