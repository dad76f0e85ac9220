package sandbox

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// tickets are the secret words in addresses that providers give out: to sign, or to fetch a file.
type tickets struct {
	mu     sync.Mutex
	issued shelf[ticket]
}

// ticket is what an address with a secret word in it opens.
type ticket struct {
	provider string
	paper    string
	who      int
	pdf      bool // the document itself, not a page
	once     bool
	used     bool
}

// ticketsKept is how many are remembered, about 300 bytes each; then the oldest open nothing any more.
const ticketsKept = 100_000

func newTickets() *tickets { return &tickets{issued: newShelf[ticket](ticketsKept)} }

func (t *tickets) issue(one ticket) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	word := randomHex(16)
	t.issued.keep(&one, word)
	return word
}

// file is an address of a document's PDF.
func (t *tickets) file(world, provider, paper string) string {
	return world + "/files/" + t.issue(ticket{provider: provider, paper: paper, pdf: true}) + "/document.pdf"
}

// show returns what a word opens. It was used before when it opens once, and has been shown.
func (t *tickets) show(word string) (shown ticket, before, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.issued.find(word)
	if !ok {
		return ticket{}, false, false
	}
	before = one.once && one.used
	one.used = true
	return *one, before, true
}

// getFile is GET /files/{ticket}/document.pdf.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request) {
	shown, _, ok := s.tickets.show(r.PathValue("ticket"))
	if !ok || !shown.pdf {
		http.NotFound(w, r)
		return
	}
	d, ok := s.provider(shown.provider).find(shown.paper)
	if !ok {
		http.NotFound(w, r)
		return
	}
	writePDF(w, d)
}

func writePDF(w http.ResponseWriter, p paper) {
	body := pdf(p)
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the browser is gone, and nobody is left to tell
}

// pdf is a document of one page that bears its title; what is no plain letter is left out.
func pdf(p paper) []byte {
	var title []byte
	for _, r := range p.title {
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
