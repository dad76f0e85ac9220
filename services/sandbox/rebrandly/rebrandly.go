// Package rebrandly simulates Rebrandly's API v1.
package rebrandly

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

const name = "rebrandly"

// Party is Rebrandly.
var Party = party.Party{Name: name, Title: "Rebrandly", Targets: []party.Target{party.HTTPTarget(name, http.StatusTooManyRequests)}, New: open}

type rebrandly struct {
	party.Env
	account shortenersettings.Rebrandly
	links   *party.Links
}

func open(env party.Env) (party.Simulator, error) {
	s := rebrandly{env, shortenersettings.Section.Of(env.Config).Rebrandly, party.NewLinks()}
	return party.Simulator{Routes: s.routes}, nil
}

func (s rebrandly) routes(mux *service.Routes) {
	mux.HandleFunc("GET /v1/account", s.authorized(s.getAccount))
	mux.HandleFunc("POST /v1/links", s.authorized(s.postLink))
	mux.HandleFunc("GET /v1/links", s.authorized(s.getLinks))
	mux.HandleFunc("GET /v1/links/{id}", s.authorized(s.getLink))
	mux.HandleFunc("GET /r/{tag}", s.links.Get)
}

// authorized requires the account's key, and its workspace if it has one.
func (s rebrandly) authorized(next http.HandlerFunc) http.HandlerFunc {
	return s.Faulty(name, writeError, func(w http.ResponseWriter, r *http.Request) {
		if !party.Same(r.Header.Get("Apikey"), s.account.APIKey) || r.Header.Get("Authorization") != "" {
			writeError(w, http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Workspace") != s.account.Workspace {
			refuse(w, "workspace", "NotFound", "The workspace is not one of yours")
			return
		}
		next(w, r)
	})
}

// getAccount serves GET /v1/account: the account of the key.
func (s rebrandly) getAccount(w http.ResponseWriter, _ *http.Request) {
	party.WriteJSON(w, http.StatusOK, map[string]string{"id": "sandbox", "username": "sandbox"})
}

// timeFormat is Rebrandly's format of times.
const timeFormat = "2006-01-02T15:04:05.000Z"

const (
	maxDestination = 2048
	defaultDomain  = "rebrand.ly"
)

var slashtag = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// postLink serves POST /v1/links. It is not idempotent: a slashtag exists once in a domain.
func (s rebrandly) postLink(w http.ResponseWriter, r *http.Request) {
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
		writeError(w, http.StatusBadRequest)
		return
	}
	domain := wanted.Domain.FullName
	if domain == "" {
		domain = defaultDomain
	}
	switch {
	case wanted.Destination == "":
		refuse(w, "destination", "RequiredField", "A destination is required")
		return
	case !party.IsWebURL(wanted.Destination):
		refuse(w, "destination", "InvalidFormat", "The destination is not a URL")
		return
	case len(wanted.Destination) > maxDestination:
		refuse(w, "destination", "InvalidLength", "The destination is too long")
		return
	case wanted.Slashtag != "" && !slashtag.MatchString(wanted.Slashtag):
		refuse(w, "slashtag", "PatternMismatch", "The slashtag has characters that it may not have")
		return
	case wanted.Title != "" && (len(wanted.Title) < 3 || len(wanted.Title) > 255):
		refuse(w, "title", "InvalidLength", "A title has 3 to 255 characters")
		return
	case domain != defaultDomain && domain != s.account.Domain:
		refuse(w, "domain", "NotFound", "The domain is not one of yours")
		return
	}
	if wanted.Slashtag == "" {
		wanted.Slashtag = party.RandomHex(4)[:7]
	}
	made := party.Link{ID: party.RandomHex(16), Tag: wanted.Slashtag, Domain: domain, Title: wanted.Title, Long: wanted.Destination, Made: time.Now().UTC()}
	made, before := s.links.MakeOnce(made, domain+"/"+made.Tag, made.ID, "/"+made.Tag)
	if before {
		refuse(w, "slashtag", "AlreadyExists", "A link with this slashtag exists already")
		return
	}
	party.WriteJSON(w, http.StatusOK, linkOf(r, made))
}

// getLinks serves GET /v1/links?domain.fullName=…&slashtag=…: the matching links, none or one.
func (s rebrandly) getLinks(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	domain := query.Get("domain.fullName")
	if domain == "" {
		domain = defaultDomain
	}
	found := []link{}
	if one, ok := s.links.Find(domain + "/" + query.Get("slashtag")); ok {
		found = append(found, linkOf(r, one))
	}
	party.WriteJSON(w, http.StatusOK, found)
}

// getLink serves GET /v1/links/{id}.
func (s rebrandly) getLink(w http.ResponseWriter, r *http.Request) {
	one, ok := s.links.Find(r.PathValue("id"))
	if !ok || one.ID != r.PathValue("id") {
		writeError(w, http.StatusNotFound)
		return
	}
	party.WriteJSON(w, http.StatusOK, linkOf(r, one))
}

type link struct {
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

func linkOf(r *http.Request, l party.Link) link {
	at := l.Made.Format(timeFormat)
	return link{
		ID: l.ID, Title: l.Title, Slashtag: l.Tag, Destination: l.Long, CreatedAt: at, UpdatedAt: at, Status: "active",
		ShortURL: strings.TrimPrefix(party.PublicURL(r), "http://") + "/r/" + l.Tag, DomainID: "8f104cc5b6ee4a4ba7897b06ac2ddcfb", DomainName: l.Domain,
	}
}

// problem is an error in Rebrandly's format. An invalid value gets 403, as a forbidden one does.
type problem struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Property string `json:"property,omitempty"`
}

func refuse(w http.ResponseWriter, property, code, message string) {
	party.WriteJSON(w, http.StatusForbidden, problem{code, message, property})
}

func writeError(w http.ResponseWriter, status int) {
	party.WriteJSON(w, status, problem{Code: strings.ReplaceAll(http.StatusText(status), " ", ""), Message: http.StatusText(status)})
}
