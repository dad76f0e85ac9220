package party

import (
	"net/http"
	"sync"
	"time"
)

// Links stores the links of one outside shortener, by its own keys and by "/" plus the tag.
type Links struct {
	mu    sync.Mutex
	links Cache[Link]
}

// Link is one short link.
type Link struct {
	ID     string
	Tag    string // the part after the slash
	Domain string
	Title  string
	Long   string
	Made   time.Time
}

// maxLinks bounds the links of a shortener, about 500 bytes each. After that, the oldest stop working.
const maxLinks = 50_000

// NewLinks returns an empty store.
func NewLinks() *Links { return &Links{links: NewCache[Link](maxLinks)} }

// Find returns the link with this key.
func (l *Links) Find(key string) (Link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.links.Find(key)
	if !ok {
		return Link{}, false
	}
	return *found, true
}

// MakeOnce stores a link, unless its first key is in use; then it returns the existing link.
func (l *Links) MakeOnce(link Link, keys ...string) (kept Link, before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.links.Find(keys[0]); ok {
		return *found, true
	}
	l.links.Keep(&link, keys...)
	return link, false
}

// Get handles GET of a short link with a redirect to its target.
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
