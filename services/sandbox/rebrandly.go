package sandbox

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// toRebrandly lets those in who bring the account's key, and its workspace where it has one.
func (s *Server) toRebrandly(next http.HandlerFunc) http.HandlerFunc {
	return s.faulty("rebrandly", rebrandlySays, func(w http.ResponseWriter, r *http.Request) {
		account := s.cfg.Shortener.Rebrandly
		if !same(r.Header.Get("Apikey"), account.APIKey) || r.Header.Get("Authorization") != "" {
			rebrandlySays(w, http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Workspace") != account.Workspace {
			rebrandlyRefuses(w, "workspace", "NotFound", "The workspace is not one of yours")
			return
		}
		next(w, r)
	})
}

// getRebrandlyAccount is GET /v1/account: who the key is.
func (s *Server) getRebrandlyAccount(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"id": "sandbox", "username": "sandbox"})
}

const (
	longestDestination = 2048
	rebrandlyDomain    = "rebrand.ly"
)

var slashtag = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// postRebrandly is POST /v1/links. It is not idempotent: one slashtag of a domain is given once.
func (s *Server) postRebrandly(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Destination string `json:"destination"`
		Slashtag    string `json:"slashtag"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Domain      struct {
			FullName string `json:"fullName"`
			ID       string `json:"id"`
		} `json:"domain"`
	}
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		rebrandlySays(w, http.StatusBadRequest)
		return
	}
	domain := wanted.Domain.FullName
	if domain == "" {
		domain = rebrandlyDomain
	}
	switch {
	case wanted.Destination == "":
		rebrandlyRefuses(w, "destination", "RequiredField", "A destination is required")
		return
	case !isWebURL(wanted.Destination):
		rebrandlyRefuses(w, "destination", "InvalidFormat", "The destination is not a URL")
		return
	case len(wanted.Destination) > longestDestination:
		rebrandlyRefuses(w, "destination", "InvalidLength", "The destination is too long")
		return
	case wanted.Slashtag != "" && !slashtag.MatchString(wanted.Slashtag):
		rebrandlyRefuses(w, "slashtag", "PatternMismatch", "The slashtag has characters that it may not have")
		return
	case wanted.Title != "" && (len(wanted.Title) < 3 || len(wanted.Title) > 255):
		rebrandlyRefuses(w, "title", "InvalidLength", "A title has 3 to 255 characters")
		return
	case domain != rebrandlyDomain && domain != s.cfg.Shortener.Rebrandly.Domain:
		rebrandlyRefuses(w, "domain", "NotFound", "The domain is not one of yours")
		return
	}
	if wanted.Slashtag == "" {
		wanted.Slashtag = randomHex(4)[:7]
	}
	link := shortLink{id: randomHex(16), tag: wanted.Slashtag, domain: domain, title: wanted.Title, long: wanted.Destination, made: time.Now().UTC()}
	link, before := s.rebrandly.makeOnce(link, domain+"/"+link.tag, link.id, "/"+link.tag)
	if before {
		rebrandlyRefuses(w, "slashtag", "AlreadyExists", "A link with this slashtag exists already")
		return
	}
	writeJSON(w, http.StatusOK, rebrandlyAnswer(r, link))
}

// getRebrandly is GET /v1/links?domain.fullName=…&slashtag=…: the links that fit, none or one.
func (s *Server) getRebrandly(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	domain := query.Get("domain.fullName")
	if domain == "" {
		domain = rebrandlyDomain
	}
	found := []rebrandlyLink{}
	if link, ok := s.rebrandly.find(domain + "/" + query.Get("slashtag")); ok {
		found = append(found, rebrandlyAnswer(r, link))
	}
	writeJSON(w, http.StatusOK, found)
}

// getRebrandlyLink is GET /v1/links/{id}.
func (s *Server) getRebrandlyLink(w http.ResponseWriter, r *http.Request) {
	link, ok := s.rebrandly.find(r.PathValue("id"))
	if !ok || link.id != r.PathValue("id") {
		rebrandlySays(w, http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, rebrandlyAnswer(r, link))
}

type rebrandlyLink struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Slashtag    string `json:"slashtag"`
	Destination string `json:"destination"`
	CreatedAt   string `json:"createdAt"`
	UpdatedAt   string `json:"updatedAt"`
	Status      string `json:"status"`
	ShortURL    string `json:"shortUrl"` // without a scheme
	DomainID    string `json:"domainId"`
	DomainName  string `json:"domainName"`
	HTTPS       bool   `json:"https"`
	Favourite   bool   `json:"favourite"`
	Clicks      int    `json:"clicks"`
	IsPublic    bool   `json:"isPublic"`
}

func rebrandlyAnswer(r *http.Request, l shortLink) rebrandlyLink {
	at := l.made.Format(clickwrapTime)
	return rebrandlyLink{
		ID: l.id, Title: l.title, Slashtag: l.tag, Destination: l.long, CreatedAt: at, UpdatedAt: at, Status: "active",
		ShortURL: strings.TrimPrefix(publicURL(r), "http://") + "/r/" + l.tag, DomainID: "8f104cc5b6ee4a4ba7897b06ac2ddcfb", DomainName: l.domain,
	}
}

// rebrandlyError is an error as Rebrandly words it. What is not valid is a 403, like what is not allowed.
type rebrandlyError struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Property string `json:"property,omitempty"`
}

func rebrandlyRefuses(w http.ResponseWriter, property, code, message string) {
	writeJSON(w, http.StatusForbidden, rebrandlyError{code, message, property})
}

func rebrandlySays(w http.ResponseWriter, status int) {
	writeJSON(w, status, rebrandlyError{Code: strings.ReplaceAll(http.StatusText(status), " ", ""), Message: http.StatusText(status)})
}
