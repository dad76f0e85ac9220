package party

import (
	"errors"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Wire is what sets one provider apart in a story: its ids, and its callbacks.
type Wire interface {
	DocumentID() string  // a fresh one
	RecipientID() string // a fresh one
	// Callbacks reports what has just happened, unsigned. Links to the sandbox begin with baseURL.
	Callbacks(happened []Change, baseURL string) []Callback
}

// Callback is one request to ingest. Its event is what the provider calls it.
type Callback struct {
	Event   string
	Request pack.Request
}

// Provider is an e-signature provider's documents, as stories and signing pages see them: documents are added, things happen to
// them, and callbacks come of that.
type Provider struct {
	name, title string
	wire        Wire

	mu        sync.Mutex
	documents Cache[Document] // by their own ids and their recipients'
}

// documentsKept is how many documents a provider keeps, about 2 KB each; then the oldest go.
const documentsKept = 20_000

// NewProvider returns a provider without documents.
func NewProvider(name, title string, w Wire) *Provider {
	return &Provider{name: name, title: title, wire: w, documents: NewCache[Document](documentsKept)}
}

// Add takes a document in, as its sender would, and returns its fresh id.
func (p *Provider) Add(source config.Source, draft Draft) string {
	now := time.Now().UTC()
	d := &Document{Draft: draft, ID: p.wire.DocumentID(), Source: source, Created: now}
	for _, who := range draft.Signers {
		d.Recipients = append(d.Recipients, Recipient{Signer: who, ID: p.wire.RecipientID(), Since: now})
	}
	p.Keep(d)
	return d.ID
}

// Keep takes a document in as it is.
func (p *Provider) Keep(d *Document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []string{d.ID}
	for _, who := range d.Recipients {
		keys = append(keys, who.ID)
	}
	p.documents.Keep(d, keys...)
}

// Example is a document that was sent long ago, and that nobody has signed.
func Example(id, recipient string, who Signer) *Document {
	longAgo := time.Now().UTC().Add(-time.Hour)
	return &Document{
		Draft: Draft{Title: "Example document"}, ID: id, Status: StatusOpen, Created: longAgo, Sent: longAgo,
		Recipients: []Recipient{{Signer: who, ID: recipient, Stage: StageDue, Since: longAgo}},
	}
}

// Find returns a copy of a document as it is now.
func (p *Provider) Find(id string) (Document, bool) {
	found, ok := p.find(id)
	return found, ok && found.ID == id
}

// Recipient returns the document that a recipient is on, and his place there.
func (p *Provider) Recipient(id string) (Document, int, bool) {
	found, ok := p.find(id)
	for i, who := range found.Recipients {
		if ok && who.ID == id {
			return found, i, true
		}
	}
	return Document{}, 0, false
}

func (p *Provider) find(key string) (Document, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.documents.Find(key)
	if !ok {
		return Document{}, false
	}
	return found.copy(), true
}

// Apply lets a step happen to the documents with these ids and returns the callbacks that report it. The state changes
// first, as at the real provider: whoever asks its REST API after the callback sees it.
func (p *Provider) Apply(ids []string, s Step, baseURL string) ([]Callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apply(ids, s, baseURL)
}

// press lets a person sign or decline, and returns the callbacks that report it.
func (p *Provider) press(id string, who int, decline bool, baseURL string) ([]Callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.documents.Find(id)
	if !ok {
		return nil, errForgotten
	}
	events, err := d.pressed(who, decline)
	if err != nil {
		return nil, err
	}
	return p.apply([]string{id}, Together(events...), baseURL)
}

var errForgotten = errors.New("the document is no longer kept")

func (p *Provider) apply(ids []string, s Step, baseURL string) ([]Callback, error) {
	now := time.Now().UTC()
	var happened []Change
	for i, e := range s.Events {
		d, ok := p.documents.Find(ids[e.Document])
		if !ok {
			return nil, errForgotten
		}
		earlier := s.Over * time.Duration(len(s.Events)-1-i) / time.Duration(len(s.Events))
		c, err := d.apply(e, now.Add(-earlier))
		if err != nil {
			return nil, err
		}
		happened = append(happened, c)
	}
	return p.wire.Callbacks(happened, baseURL), nil
}
