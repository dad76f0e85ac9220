package shortener

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// rebrandly is Rebrandly's API v1 (developers.rebrandly.com). It would make a new link for each call. So the link's name there, its slashtag,
// is a hash of our link. If the name exists already, it is looked up.
type rebrandly struct {
	caller
	domain string
}

// Rebrandly's limit is 10 calls a second: a rate of 9 with a burst of 1.
var rebrandlyRate = limit.Rate{Count: 9, Per: time.Second, Burst: 1}

// rebrandlyAtOnce is the number of the stage's workers.
const rebrandlyAtOnce = 16

func newRebrandly(settings *config.Current[shortenersettings.Shortener], limits limit.Limiter) *rebrandly {
	s := settings.Now().Rebrandly
	credentials := func() http.Header {
		header := http.Header{"Apikey": {settings.Now().Rebrandly.APIKey}}
		if s.Workspace != "" {
			header.Set("Workspace", s.Workspace)
		}
		return header
	}
	return &rebrandly{
		caller: newCaller(s.BaseURL, credentials, rebrandlyRate, rebrandlyAtOnce, limits, flow.RateShortener+"/rebrandly"),
		domain: s.Domain,
	}
}

type rebrandlyRequest struct {
	Destination string           `json:"destination"`
	Slashtag    string           `json:"slashtag"`
	Title       string           `json:"title"`
	Domain      *rebrandlyDomain `json:"domain,omitempty"`
}

type rebrandlyDomain struct {
	FullName string `json:"fullName"`
}

type rebrandlyLink struct {
	Destination string `json:"destination"`
	Slashtag    string `json:"slashtag"`
	ShortURL    string `json:"shortUrl"` // without a scheme
	HTTPS       *bool  `json:"https"`
}

type rebrandlyError struct {
	Code   string `json:"code"`
	Errors []struct {
		Code string `json:"code"`
	} `json:"errors"`
}

// rebrandlyTitle is shown in the operator's dashboard. It contains no personal data and no document's title.
const rebrandlyTitle = "Signing link"

// slashtags is the number of names that are tried. Two names of 70 bits never collide by chance. A second name is necessary only if another
// account has shortened our link before.
const slashtags = 3

func (b *rebrandly) shorten(ctx context.Context, link string) (string, error) {
	for try := range slashtags {
		short, taken, err := b.try(ctx, link, slashtag(link, try))
		if err != nil || !taken {
			return short, err
		}
	}
	return "", outcome.Refused(outcome.Provider, "taken", errors.New("another account has all names of the link"))
}

// try creates the link under one name; taken reports that another account has the name.
func (b *rebrandly) try(ctx context.Context, link, name string) (short string, taken bool, err error) {
	body := rebrandlyRequest{Destination: link, Slashtag: name, Title: rebrandlyTitle}
	if b.domain != "" {
		body.Domain = &rebrandlyDomain{b.domain}
	}
	r, err := b.call(ctx, http.MethodPost, "/v1/links", body)
	if err != nil {
		return "", false, err
	}
	if r.status != http.StatusOK && r.status != http.StatusCreated {
		refusal, exists := rebrandlyRefusal(r)
		if !exists {
			return "", false, refusal
		}
		return b.existing(ctx, link, name)
	}
	var made rebrandlyLink
	if err := r.decode(&made); err != nil {
		return "", false, err
	}
	short, err = made.address()
	return short, false, err
}

// existing looks up a name that exists. If the response to an earlier call was lost, the link is ours. A link of another account is not
// returned, or has another target.
func (b *rebrandly) existing(ctx context.Context, link, name string) (short string, taken bool, err error) {
	query := url.Values{"slashtag": {name}}
	if b.domain != "" {
		query.Set("domain.fullName", b.domain)
	}
	r, err := b.call(ctx, http.MethodGet, "/v1/links?"+query.Encode(), nil)
	if err != nil {
		return "", false, err
	}
	if r.status != http.StatusOK {
		refusal, _ := rebrandlyRefusal(r)
		return "", false, refusal
	}
	var found []rebrandlyLink
	if err := r.decode(&found); err != nil {
		return "", false, err
	}
	for _, l := range found {
		if l.Destination == link && strings.EqualFold(l.Slashtag, name) {
			short, err = l.address()
			return short, false, err
		}
	}
	return "", true, nil
}

func (l rebrandlyLink) address() (string, error) {
	switch {
	case l.ShortURL == "" || strings.Contains(l.ShortURL, "://"):
		return usable(l.ShortURL)
	case l.HTTPS != nil && !*l.HTTPS:
		return usable("http://" + l.ShortURL)
	default:
		return usable("https://" + l.ShortURL)
	}
}

// rebrandlyRefusal returns the outcome of a response without success; exists reports that the name exists. Rebrandly responds 403 to each
// invalid link, and rarely because of credentials.
func rebrandlyRefusal(r response) (refusal error, exists bool) {
	var problem rebrandlyError
	_ = r.decode(&problem) // the status is sufficient
	all := []string{problem.Code}
	for _, detail := range problem.Errors {
		all = append(all, detail.Code)
	}
	last := all[len(all)-1]
	refusal = r.refusal(last)
	if r.status != http.StatusForbidden {
		return refusal, false
	}
	for _, code := range all {
		switch code = strings.ToLower(code); {
		case code == "alreadyexists":
			return refusal, true
		case strings.Contains(code, "limit"):
			refusal = planLimit(r.err(last))
		}
	}
	return refusal, false
}

var slashtagLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// slashtag returns the link's name in an attempt: 14 letters of 5 bits, as hard to guess as our own code, and 4 more in each further attempt.
// Rebrandly accepts 1 to 40 of A-Z, a-z, 0-9, _ and -. A name without capitals works whether or not Rebrandly ignores case.
func slashtag(link string, try int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(try) + " " + link))
	return slashtagLetters.EncodeToString(sum[:])[:codeLength+4*try]
}
