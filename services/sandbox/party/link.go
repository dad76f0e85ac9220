package party

import (
	"net/http"
	"sync"
	"time"
)

// Links are the links of one outside shortener, by its own keys, and by a slash and the tag.
type Links struct {
	mu    sync.Mutex
	links Cache[Link]
}

// Link is one short link.
type Link struct {
	ID     string
	Tag    string // what follows the slash
	Domain string
	Title  string
	Long   string
	Made   time.Time
}

// linksKept is how many links a shortener keeps, about 500 bytes each; then the oldest open nothing any more.
const linksKept = 50_000

// NewLinks returns none yet.
func NewLinks() *Links { return &Links{links: NewCache[Link](linksKept)} }

// Find returns the link of a key.
func (l *Links) Find(key string) (Link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.links.Find(key)
	if !ok {
		return Link{}, false
	}
	return *found, true
}

// MakeOnce keeps a link unless there is one under its first key, which comes back then.
func (l *Links) MakeOnce(link Link, keys ...string) (kept Link, before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.links.Find(keys[0]); ok {
		return *found, true
	}
	l.links.Keep(&link, keys...)
	return link, false
}

// Get is GET of a short link: where it leads.
func (l *Links) Get(w http.ResponseWriter, r *http.Request) {
	found, ok := l.Find("/" + r.PathValue("tag"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", found.Long)
	w.WriteHeader(http.StatusFound)
}
