package shortener

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// bitly is Bitly's API v4 (dev.bitly.com). It returns the same link for the same address and group.
type bitly struct {
	caller
	domain, group string
}

// Bitly's limits: a plan of 1,000 calls an hour allows 100 a minute, and each plan allows 5 connections from one IP address. A rate of 90 a
// minute with a burst of 10 never exceeds 100 in a minute.
var bitlyRate = limit.Rate{Count: 90, Per: time.Minute, Burst: 10}

const bitlyAtOnce = 5

func newBitly(settings *config.Current[shortenersettings.Shortener], limits limit.Limiter) *bitly {
	s := settings.Now().Bitly
	credentials := func() http.Header { return http.Header{"Authorization": {"Bearer " + settings.Now().Bitly.Token}} }
	return &bitly{
		caller: newCaller(s.BaseURL, credentials, bitlyRate, bitlyAtOnce, limits, flow.RateShortener+"/bitly"),
		domain: s.Domain, group: s.Group,
	}
}

type bitlyRequest struct {
	LongURL      string `json:"long_url"`
	Domain       string `json:"domain,omitempty"`
	GroupGUID    string `json:"group_guid,omitempty"`
	ForceNewLink bool   `json:"force_new_link"` // with false, Bitly returns the existing link
}

type bitlyError struct {
	Message string `json:"message"`
	Errors  []struct {
		Code string `json:"error_code"`
	} `json:"errors"`
}

func (b *bitly) shorten(ctx context.Context, link string) (string, error) {
	r, err := b.call(ctx, http.MethodPost, "/v4/shorten", bitlyRequest{LongURL: link, Domain: b.domain, GroupGUID: b.group})
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK && r.status != http.StatusCreated {
		return "", bitlyRefusal(r)
	}
	var made struct {
		Link string `json:"link"`
	}
	if err := r.decode(&made); err != nil {
		return "", err
	}
	return usable(made.Link)
}

func bitlyRefusal(r response) error {
	var problem bitlyError
	_ = r.decode(&problem) // the status is sufficient
	code := problem.Message
	for _, detail := range problem.Errors {
		code = cmp.Or(detail.Code, code)
	}
	switch {
	case strings.Contains(problem.Message+code, "MONTHLY"): // with any status
		return planLimit(r.err(code))
	case r.status == http.StatusForbidden: // the token may not use the group or the domain
		return badCredentials(r.err(code))
	default:
		return r.refusal(code)
	}
}
