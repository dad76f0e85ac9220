package party

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Wire is the provider's part of a story: its ids and its callbacks.
type Wire interface {
	DocumentID() string  // returns a new id
	RecipientID() string // returns a new id
	// Callbacks returns the unsigned callbacks for these changes. Links to the sandbox begin with baseURL.
	Callbacks(happened []Change, baseURL string) []Callback
}

// Callback is one request to ingest. Event is the provider's name of it.
type Callback struct {
	Event   string
	Request pack.Request
}

// Provider stores an e-signature provider's documents. Stories and signing pages add and change documents, and each change causes callbacks.
type Provider struct {
	name, title string
	wire        Wire

	now       func() time.Time
	mu        sync.Mutex
	documents Cache[Document] // by their own ids and their recipients'
}

// maxDocuments bounds the documents of a provider, about 2 KB each. After that, the oldest are deleted.
const maxDocuments = 20_000

// NewProvider returns a provider without documents.
func NewProvider(name, title string, w Wire, now func() time.Time) *Provider {
	return &Provider{name: name, title: title, wire: w, now: now, documents: NewCache[Document](maxDocuments)}
}

// Add creates a document from a draft and returns its new id.
func (p *Provider) Add(source config.Source, draft Draft) string {
	now := p.now().UTC()
	d := &Document{Draft: draft, ID: p.wire.DocumentID(), Source: source, Created: now}
	for _, who := range draft.Signers {
		d.Recipients = append(d.Recipients, Recipient{Signer: who, ID: p.wire.RecipientID(), Since: now})
	}
	p.Keep(d)
	return d.ID
}

// Keep stores a document unchanged.
func (p *Provider) Keep(d *Document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []string{d.ID}
	for _, who := range d.Recipients {
		keys = append(keys, who.ID)
	}
	p.documents.Keep(d, keys...)
}

// Example returns a document that was sent an hour ago and has no signature.
func Example(id, recipient string, who Signer) *Document {
	longAgo := time.Now().UTC().Add(-time.Hour)
	return &Document{
		Draft: Draft{Title: "Example document"}, ID: id, Status: StatusOpen, Created: longAgo, Sent: longAgo,
		Recipients: []Recipient{{Signer: who, ID: recipient, Stage: StageDue, Since: longAgo}},
	}
}

// Find returns a copy of a document in its current state.
func (p *Provider) Find(id string) (Document, bool) {
	found, ok := p.find(id)
	return found, ok && found.ID == id
}

// List returns copies of a source's documents that were sent, in the order in which they were created. The documentation's examples belong to no
// source.
func (p *Provider) List(source string) []Document {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Document
	for _, d := range p.documents.All() {
		if d.Source.Name == source {
			all = append(all, d.copy())
		}
	}
	return all
}

// Recipient returns the document of a recipient, and the recipient's index in it.
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

// Apply applies a step to the documents with these ids and returns the callbacks that report it. The state changes first, as at the real
// provider, so that a request to the REST API after the callback returns the new state.
func (p *Provider) Apply(ids []string, s Step, baseURL string) ([]Callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apply(ids, s, baseURL)
}

// press applies a person's signature or decline, and returns the callbacks that report it.
func (p *Provider) press(id string, who int, decline bool, baseURL string) ([]Callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.documents.Find(id)
	if !ok {
		return nil, errDeleted
	}
	events, err := d.pressed(who, decline)
	if err != nil {
		return nil, err
	}
	return p.apply([]string{id}, Together(events...), baseURL)
}

// Update applies a change that a request makes to a recipient, and returns the callbacks that report it. An error of the change changes nothing.
func (p *Provider) Update(recipient string, change func(d *Document, who int, at time.Time) (Change, error), baseURL string) (Document, []Callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.documents.Find(recipient)
	if !ok {
		return Document{}, nil, ErrUnknown
	}
	who := slices.IndexFunc(d.Recipients, func(r Recipient) bool { return r.ID == recipient })
	if who < 0 {
		return Document{}, nil, ErrUnknown
	}
	c, err := change(d, who, p.now().UTC())
	if err != nil {
		return Document{}, nil, err
	}
	if id := d.Recipients[who].ID; id != recipient {
		p.documents.Rename(recipient, id)
	}
	return d.copy(), p.wire.Callbacks([]Change{c}, baseURL), nil
}

// RecipientID returns a new id of a recipient.
func (p *Provider) RecipientID() string { return p.wire.RecipientID() }

// ErrUnknown means that no document has the recipient.
var ErrUnknown = errors.New("no document has this recipient")

var errDeleted = errors.New("the sandbox has deleted the document, because it keeps only the newest ones")

func (p *Provider) apply(ids []string, s Step, baseURL string) ([]Callback, error) {
	now := p.now().UTC()
	var happened []Change
	for i, e := range s.Events {
		d, ok := p.documents.Find(ids[e.Document])
		if !ok {
			return nil, errDeleted
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
