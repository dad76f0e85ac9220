package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// shortLinks are the links of one outside shortener, by what follows the slash in their short address.
type shortLinks struct {
	mu    sync.Mutex
	links shelf[shortLink]
}

type shortLink struct {
	id     string
	tag    string // what follows the slash
	domain string
	title  string
	long   string
	made   time.Time
}

// linksKept is how many links a shortener keeps, about 500 bytes each; then the oldest open nothing any more.
const linksKept = 50_000

func newShortLinks() *shortLinks { return &shortLinks{links: newShelf[shortLink](linksKept)} }

func (l *shortLinks) find(key string) (shortLink, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.links.find(key)
	if !ok {
		return shortLink{}, false
	}
	return *found, true
}

// makeOnce keeps a link unless there is one under its first key, which comes back then.
func (l *shortLinks) makeOnce(link shortLink, keys ...string) (kept shortLink, before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found, ok := l.links.find(keys[0]); ok {
		return *found, true
	}
	l.links.keep(&link, keys...)
	return link, false
}

// getShort is GET /b/{tag} and GET /r/{tag}: where a short link leads.
func getShort(l *shortLinks) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found, ok := l.find("/" + r.PathValue("tag"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", found.long)
		w.WriteHeader(http.StatusFound)
	}
}

// isWebURL tells an absolute http or https address.
func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// toBitly lets those in who bring the account's token.
func (s *Server) toBitly(next http.HandlerFunc) http.HandlerFunc {
	return s.faulty("bitly", bitlySays, func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !same(token, s.cfg.Shortener.Bitly.Token) {
			bitlySays(w, http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// getBitlyUser is GET /v4/user: who the token is.
func (s *Server) getBitlyUser(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"login": "sandbox", "is_active": true, "default_group_guid": s.cfg.Shortener.Bitly.Group})
}

// shortenBitly is POST /v4/shorten. The same address, domain and group always get the same link.
func (s *Server) shortenBitly(w http.ResponseWriter, r *http.Request) {
	account := s.cfg.Shortener.Bitly
	var wanted struct {
		LongURL  string `json:"long_url"`
		Domain   string `json:"domain"`
		Group    string `json:"group_guid"`
		ForceNew bool   `json:"force_new_link"`
	}
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		bitlySays(w, http.StatusUnprocessableEntity)
		return
	}
	switch {
	case !isWebURL(wanted.LongURL):
		bitlyRefuses(w, "long_url", "invalid", "INVALID_ARG_LONG_URL")
		return
	case wanted.Domain != "" && wanted.Domain != "bit.ly" && wanted.Domain != account.Domain:
		bitlyRefuses(w, "domain", "invalid", "INVALID_ARG_DOMAIN")
		return
	case wanted.Group != "" && wanted.Group != account.Group:
		bitlySays(w, http.StatusForbidden)
		return
	}
	if wanted.Domain == "" {
		wanted.Domain = "bit.ly"
	}

	tag := randomHex(4)[:7]
	key := wanted.Domain + "\n" + wanted.Group + "\n" + wanted.LongURL
	if wanted.ForceNew {
		key += "\n" + tag
	}
	link, before := s.bitly.makeOnce(shortLink{tag: tag, domain: wanted.Domain, long: wanted.LongURL, made: time.Now().UTC()}, key, "/"+tag)
	status := http.StatusCreated
	if before {
		status = http.StatusOK
	}
	writeJSON(w, status, bitlyLink{
		CreatedAt: link.made.Format("2006-01-02T15:04:05-0700"), ID: link.domain + "/" + link.tag,
		Link: publicURL(r) + "/b/" + link.tag, LongURL: link.long, CustomBitlinks: []string{}, Tags: []string{}, Deeplinks: []string{},
		References: map[string]string{"group": "https://api-ssl.bitly.com/v4/groups/" + wanted.Group},
	})
}

type bitlyLink struct {
	CreatedAt      string            `json:"created_at"`
	ID             string            `json:"id"`
	Link           string            `json:"link"`
	CustomBitlinks []string          `json:"custom_bitlinks"`
	LongURL        string            `json:"long_url"`
	Archived       bool              `json:"archived"`
	Tags           []string          `json:"tags"`
	Deeplinks      []string          `json:"deeplinks"`
	References     map[string]string `json:"references"`
}

// bitlyError is an error as Bitly words it.
type bitlyError struct {
	Message     string       `json:"message"`
	Description string       `json:"description"`
	Resource    string       `json:"resource"`
	Errors      []bitlyField `json:"errors,omitempty"`
}

type bitlyField struct {
	Field   string `json:"field"`
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func bitlyRefuses(w http.ResponseWriter, field, message, code string) {
	writeJSON(w, http.StatusBadRequest, bitlyError{
		Message: code, Description: "The value provided is invalid.", Resource: "bitlinks",
		Errors: []bitlyField{{field, code, message}},
	})
}

func bitlySays(w http.ResponseWriter, status int) {
	words := map[int]string{
		http.StatusForbidden: "FORBIDDEN", http.StatusTooManyRequests: "RATE_LIMIT_EXCEEDED", http.StatusPaymentRequired: "UPGRADE_REQUIRED",
		http.StatusInternalServerError: "INTERNAL_ERROR", http.StatusServiceUnavailable: "TEMPORARILY_UNAVAILABLE",
	}
	writeJSON(w, status, bitlyError{Message: words[status], Description: http.StatusText(status), Resource: "bitlinks"})
}
