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

// rebrandly is Rebrandly's API v1 (developers.rebrandly.com). It would make a new link for each call, so the link's name
// there, its slashtag, is a hash of our link, and a name that is taken is looked up.
type rebrandly struct {
	caller
	domain string
}

// Its limit is 10 calls a second: nine evenly spread and one ahead.
var rebrandlyRate = limit.Rate{Count: 9, Per: time.Second, Burst: 1}

// rebrandlyAtOnce is as many as the stage has workers.
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

type rebrandlyQuestion struct {
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

type rebrandlyProblem struct {
	Code   string `json:"code"`
	Errors []struct {
		Code string `json:"code"`
	} `json:"errors"`
}

// rebrandlyTitle is what the operator's dashboard shows. Nothing personal and no document's title goes there.
const rebrandlyTitle = "Signing link"

// slashtags is how many names are tried. Two of 70 bits never meet by chance: a second is needed where our link was
// given to another account before.
const slashtags = 3

func (b *rebrandly) shorten(ctx context.Context, link string) (string, error) {
	for try := range slashtags {
		short, taken, err := b.try(ctx, link, slashtag(link, try))
		if err != nil || !taken {
			return short, err
		}
	}
	return "", outcome.Refused(outcome.Provider, "taken", errors.New("somebody else has all the names of the link"))
}

// try asks for the link under one name; taken tells that somebody else's stands there.
func (b *rebrandly) try(ctx context.Context, link, name string) (short string, taken bool, err error) {
	question := rebrandlyQuestion{Destination: link, Slashtag: name, Title: rebrandlyTitle}
	if b.domain != "" {
		question.Domain = &rebrandlyDomain{b.domain}
	}
	a, err := b.ask(ctx, http.MethodPost, "/v1/links", question)
	if err != nil {
		return "", false, err
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		refusal, exists := rebrandlyRefusal(a)
		if !exists {
			return "", false, refusal
		}
		return b.existing(ctx, link, name)
	}
	var made rebrandlyLink
	if err := a.decode(&made); err != nil {
		return "", false, err
	}
	short, err = made.address()
	return short, false, err
}

// existing looks the name up: it is ours when an earlier call's answer was lost. Somebody else's is not shown to us, or
// leads elsewhere.
func (b *rebrandly) existing(ctx context.Context, link, name string) (short string, taken bool, err error) {
	query := url.Values{"slashtag": {name}}
	if b.domain != "" {
		query.Set("domain.fullName", b.domain)
	}
	a, err := b.ask(ctx, http.MethodGet, "/v1/links?"+query.Encode(), nil)
	if err != nil {
		return "", false, err
	}
	if a.status != http.StatusOK {
		refusal, _ := rebrandlyRefusal(a)
		return "", false, refusal
	}
	var found []rebrandlyLink
	if err := a.decode(&found); err != nil {
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

// rebrandlyRefusal reads an answer that is none; exists tells that the name is taken. 403 is Rebrandly's status for all that
// it finds wrong with a link, and seldom about credentials.
func rebrandlyRefusal(a answer) (refusal error, exists bool) {
	var problem rebrandlyProblem
	_ = a.decode(&problem) // the status says enough
	all := []string{problem.Code}
	for _, detail := range problem.Errors {
		all = append(all, detail.Code)
	}
	last := all[len(all)-1]
	refusal = a.refusal(last)
	if a.status != http.StatusForbidden {
		return refusal, false
	}
	for _, code := range all {
		switch code = strings.ToLower(code); {
		case code == "alreadyexists":
			return refusal, true
		case strings.Contains(code, "limit"):
			refusal = planLimit(a.err(last))
		}
	}
	return refusal, false
}

var slashtagLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// slashtag is the link's name at a try: 14 letters of 5 bits, as hard to guess as our own code, and 4 more each further
// try. Rebrandly takes 1 to 40 of A-Z, a-z, 0-9, _ and -; without capitals it does not matter whether it minds them.
func slashtag(link string, try int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(try) + " " + link))
	return slashtagLetters.EncodeToString(sum[:])[:codeLength+4*try]
}
