package sandbox

import (
	"errors"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// The providers that are stood in for, by their packs' names.
const (
	clickwrapName  = "clickwrap"
	pleasesignName = "pleasesign"
	esignName      = "esign-v1"
)

// words are what sets one provider apart in a story: how it names things, and how it tells what happened.
type words interface {
	documentID() string // a fresh one
	personID() string   // a fresh one
	// callbacks tells of what has just happened, unsigned. Links to the outside world begin with world.
	callbacks(happened []change, world string) []callback
}

// callback is one request to ingest. Its event is what the provider calls it.
type callback struct {
	event   string
	request pack.Request
}

// provider is a stand-in as stories and signing pages see it: documents are put into it, things happen to them, and
// callbacks come of that.
type provider struct {
	name string
	words

	mu     sync.Mutex
	papers shelf[paper] // by their own ids and their people's
}

// papersKept is how many documents a stand-in keeps, about 2 KB each; then the oldest go.
const papersKept = 20_000

func newProvider(name string, w words) *provider {
	return &provider{name: name, words: w, papers: newShelf[paper](papersKept)}
}

// put takes a document in, as its sender would, and returns its fresh id.
func (p *provider) put(source config.Source, d document) string {
	now := time.Now().UTC()
	filed := &paper{document: d, id: p.documentID(), source: source, created: now}
	for _, who := range d.signers {
		filed.people = append(filed.people, party{signer: who, id: p.personID(), since: now})
	}
	p.keep(filed)
	return filed.id
}

func (p *provider) keep(filed *paper) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []string{filed.id}
	for _, who := range filed.people {
		keys = append(keys, who.id)
	}
	p.papers.keep(filed, keys...)
}

// find returns a copy of a document as it is now.
func (p *provider) find(id string) (paper, bool) {
	found, ok := p.look(id)
	return found, ok && found.id == id
}

// person returns a person and a copy of the document that he is on.
func (p *provider) person(id string) (paper, int, bool) {
	found, ok := p.look(id)
	for i, who := range found.people {
		if ok && who.id == id {
			return found, i, true
		}
	}
	return paper{}, 0, false
}

func (p *provider) look(key string) (paper, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.papers.find(key)
	if !ok {
		return paper{}, false
	}
	return found.copy(), true
}

// happen lets a step happen to the documents with these ids and returns the callbacks that tell of it. The state changes
// first, as at the real provider: whoever asks its REST API after the callback sees it.
func (p *provider) happen(ids []string, s step, world string) ([]callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.let(ids, s, world)
}

// act lets a person sign or decline, and returns the callbacks that tell of it.
func (p *provider) act(id string, who int, decline bool, world string) ([]callback, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	filed, ok := p.papers.find(id)
	if !ok {
		return nil, errForgotten
	}
	happens, err := filed.acts(who, decline)
	if err != nil {
		return nil, err
	}
	return p.let([]string{id}, together(happens...), world)
}

var errForgotten = errors.New("the document is no longer kept")

func (p *provider) let(ids []string, s step, world string) ([]callback, error) {
	now := time.Now().UTC()
	var happened []change
	for i, h := range s.happens {
		filed, ok := p.papers.find(ids[h.document])
		if !ok {
			return nil, errForgotten
		}
		earlier := s.over * time.Duration(len(s.happens)-1-i) / time.Duration(len(s.happens))
		c, err := filed.happen(h, now.Add(-earlier))
		if err != nil {
			return nil, err
		}
		happened = append(happened, c)
	}
	return p.callbacks(happened, world), nil
}
