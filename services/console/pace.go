package console

import (
	"net/http"
	"sync"
	"time"
)

// Limits of the searches of one reader: as many a second on average, and as many at once. A person who types makes at most seven a second.
const (
	searchesPerSecond = 20
	searchesAtOnce    = 40
)

// pace limits the searches of each reader, because one search reads up to 20 MB of the index.
type pace struct {
	mu  sync.Mutex
	all map[string]allowance // by reader
}

// allowance is how many searches a reader had left at a time.
type allowance struct {
	left float64
	at   time.Time
}

func newPace() *pace { return &pace{all: map[string]allowance{}} }

// take takes one search from a reader's allowance. If there is none, it returns how long the reader must wait.
func (p *pace) take(reader string, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, known := p.all[reader]
	if !known {
		a = allowance{searchesAtOnce, now}
		p.forget(now)
	}
	a.left = min(searchesAtOnce, a.left+searchesPerSecond*max(now.Sub(a.at).Seconds(), 0))
	a.at = now
	if a.left < 1 {
		wait = time.Duration((1 - a.left) / searchesPerSecond * float64(time.Second))
	} else {
		a.left--
	}
	p.all[reader] = a
	return wait
}

// forget removes the readers who have their whole allowance again. The caller holds the lock.
func (p *pace) forget(now time.Time) {
	for reader, a := range p.all {
		if now.Sub(a.at) > searchesAtOnce/searchesPerSecond*time.Second {
			delete(p.all, reader)
		}
	}
}

// limit refuses a search beyond the reader's allowance.
func (s *Server) limit(r *Request) error {
	wait := s.pace.take(r.Reader.Via+" "+r.Reader.Name, r.Now)
	if wait == 0 {
		return nil
	}
	return &Problem{Status: http.StatusTooManyRequests, Title: "Too many searches", Back: documentsPath, Retry: max(wait.Round(time.Second), time.Second),
		Detail: "A reader may make 20 searches a second, and 40 at once. Wait a second, and search again."}
}
