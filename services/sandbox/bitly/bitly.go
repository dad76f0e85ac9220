// Package bitly simulates Bitly's API v4.
package bitly

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

const name = "bitly"

// Party is Bitly.
var Party = party.Party{Name: name, Title: "Bitly", Targets: []party.Target{party.HTTPTarget(name, http.StatusTooManyRequests, http.StatusServiceUnavailable)}, New: open}

type bitly struct {
	party.Env
	account shortenersettings.Bitly
	links   *party.Links
}

func open(env party.Env) (party.Simulator, error) {
	b := bitly{env, shortenersettings.Section.Of(env.Config).Bitly, party.NewLinks()}
	return party.Simulator{Routes: b.routes}, nil
}

func (b bitly) routes(mux *service.Routes) {
	mux.HandleFunc("GET /v4/user", b.authorized(b.getUser))
	mux.HandleFunc("POST /v4/shorten", b.authorized(b.shorten))
	mux.HandleFunc("GET /b/{tag}", b.links.Get)
}

// authorized requires the account's token.
func (b bitly) authorized(next http.HandlerFunc) http.HandlerFunc {
	return b.Faulty(name, writeError, func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !party.Same(token, b.account.Token) {
			writeError(w, http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// getUser serves GET /v4/user: the account of the token.
func (b bitly) getUser(w http.ResponseWriter, _ *http.Request) {
	party.WriteJSON(w, http.StatusOK, map[string]any{"login": "sandbox", "is_active": true, "default_group_guid": b.account.Group})
}

// shorten serves POST /v4/shorten. The same address, domain and group always get the same link.
func (b bitly) shorten(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		LongURL  string `json:"long_url"`
		Domain   string `json:"domain"`
		Group    string `json:"group_guid"`
		ForceNew bool   `json:"force_new_link"`
	}
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		writeError(w, http.StatusUnprocessableEntity)
		return
	}
	switch {
	case !party.IsWebURL(wanted.LongURL):
		refuse(w, "long_url", "invalid", "INVALID_ARG_LONG_URL")
		return
	case wanted.Domain != "" && wanted.Domain != "bit.ly" && wanted.Domain != b.account.Domain:
		refuse(w, "domain", "invalid", "INVALID_ARG_DOMAIN")
		return
	case wanted.Group != "" && wanted.Group != b.account.Group:
		writeError(w, http.StatusForbidden)
		return
	}
	if wanted.Domain == "" {
		wanted.Domain = "bit.ly"
	}

	tag := party.RandomHex(4)[:7]
	key := wanted.Domain + "\n" + wanted.Group + "\n" + wanted.LongURL
	if wanted.ForceNew {
		key += "\n" + tag
	}
	made, before := b.links.MakeOnce(party.Link{Tag: tag, Domain: wanted.Domain, Long: wanted.LongURL, Made: time.Now().UTC()}, key, "/"+tag)
	status := http.StatusCreated
	if before {
		status = http.StatusOK
	}
	party.WriteJSON(w, status, link{
		CreatedAt: made.Made.Format("2006-01-02T15:04:05-0700"), ID: made.Domain + "/" + made.Tag,
		Link: party.PublicURL(r) + "/b/" + made.Tag, LongURL: made.Long, CustomBitlinks: []string{}, Tags: []string{}, Deeplinks: []string{},
		References: map[string]string{"group": "https://api-ssl.bitly.com/v4/groups/" + wanted.Group},
	})
}

type link struct {
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

// problem is an error in Bitly's format.
type problem struct {
	Message     string    `json:"message"`
	Description string    `json:"description"`
	Resource    string    `json:"resource"`
	Errors      []invalid `json:"errors,omitempty"`
}

type invalid struct {
	Field   string `json:"field"`
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func refuse(w http.ResponseWriter, field, message, code string) {
	party.WriteJSON(w, http.StatusBadRequest, problem{
		Message: code, Description: "The value provided is invalid.", Resource: "bitlinks",
		Errors: []invalid{{field, code, message}},
	})
}

func writeError(w http.ResponseWriter, status int) {
	codes := map[int]string{
		http.StatusForbidden: "FORBIDDEN", http.StatusTooManyRequests: "RATE_LIMIT_EXCEEDED", http.StatusPaymentRequired: "UPGRADE_REQUIRED",
		http.StatusInternalServerError: "INTERNAL_ERROR", http.StatusServiceUnavailable: "TEMPORARILY_UNAVAILABLE",
	}
	party.WriteJSON(w, status, problem{Message: codes[status], Description: http.StatusText(status), Resource: "bitlinks"})
}
