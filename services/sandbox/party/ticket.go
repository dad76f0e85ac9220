package party

import (
	"net/http"
	"sync"
	"time"
)

// Tickets stores the secrets in the providers' addresses for signing and for downloads.
type Tickets struct {
	now    func() time.Time
	mu     sync.Mutex
	issued Cache[Ticket]
	served []ServedFile
}

// Ticket describes what a secret address opens.
type Ticket struct {
	Provider  *Provider
	Document  string // its id
	Recipient string // the recipient's id; the ticket does not open for another one
	Once      bool   // it opens once

	file    FileKind  // a file of the document; empty for a page
	expires time.Time // zero for never
	used    bool
}

// maxTickets bounds the tickets, about 300 bytes each. After that, the oldest stop working.
const maxTickets = 100_000

// NewTickets returns an empty store with that clock.
func NewTickets(now func() time.Time) *Tickets {
	return &Tickets{now: now, issued: NewCache[Ticket](maxTickets)}
}

// Issue returns the secret of a new ticket.
func (t *Tickets) Issue(one Ticket) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	secret := RandomHex(16)
	t.issued.Keep(&one, secret)
	return secret
}

// File returns a new address of a file of a document, which works for that time; 0 means for ever.
func (t *Tickets) File(baseURL string, p *Provider, document string, kind FileKind, life time.Duration) string {
	one := Ticket{Provider: p, Document: document, file: kind}
	if life > 0 {
		one.expires = t.now().Add(life)
	}
	return baseURL + "/files/" + t.Issue(one) + "/document.pdf"
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

// GetFile serves GET /files/{ticket}/document.pdf. After its time, an address returns 403, as PleaseSign's do.
func (t *Tickets) GetFile(w http.ResponseWriter, r *http.Request) {
	used, _, ok := t.Use(r.PathValue("ticket"))
	if !ok || used.file == "" {
		http.NotFound(w, r)
		return
	}
	if !used.expires.IsZero() && !t.now().Before(used.expires) {
		http.Error(w, "Request has expired", http.StatusForbidden)
		return
	}
	d, ok := used.Provider.Find(used.Document)
	if !ok {
		http.NotFound(w, r)
		return
	}
	t.Serve(w, d, used.file)
}
