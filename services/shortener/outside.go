package shortener

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// outside is somebody else's shortener.
type outside interface {
	// shorten returns the short form of one of our links, and the same one when it is asked again: a lost answer costs
	// nothing. It fails with an outcome: Refused, NeedsOperator or Failure with a bounded cause, [a-z-], a metric's label
	// and an event's attribute; or NotTried by our own limit. An error's text holds neither link nor credentials.
	shorten(ctx context.Context, link string) (string, error)
}

// newOutside is the shortener of the settings, and nil where our own links are the short ones. Of the settings its
// credentials alone may be others later.
func newOutside(settings *config.Current[shortenersettings.Shortener], limits limit.Limiter) outside {
	switch settings.Now().Kind {
	case "bitly":
		return newBitly(settings, limits)
	case "rebrandly":
		return newRebrandly(settings, limits)
	default:
		return nil
	}
}

const (
	callWithin   = 5 * time.Second // one call, its place in the queue included
	callPatience = 2 * time.Second // for that place; longer, and a backlog would hold every worker

	// largestAnswer bounds what is read of an answer; a link has about 1 KiB.
	largestAnswer = 64 << 10
)

// caller makes the calls to one outside shortener.
type caller struct {
	client      http.Client
	base        string             // without a slash at the end
	credentials func() http.Header // of now: a client of new ones would have connections of its own, beside those that stand
}

// newCaller makes a caller that keeps to a rate, and has so many calls in the air at most.
func newCaller(base string, credentials func() http.Header, rate limit.Rate, atOnce int, limits limit.Limiter, key string) caller {
	// In HTTP/1 a connection is a call, so that connections limit calls.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return caller{
		base: base, credentials: credentials,
		client: http.Client{
			Timeout: callWithin,
			Transport: limit.Transport{
				Base: &http.Transport{
					Proxy: http.ProxyFromEnvironment, Protocols: protocols,
					MaxConnsPerHost: atOnce, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: 90 * time.Second,
				},
				Limiter: limits, Key: key, Rate: rate, MaxWait: callPatience,
			},
			// Nobody else gets the credentials or the link.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// answer is what came back, whatever its status.
type answer struct {
	status int
	body   []byte
	after  time.Duration // Retry-After
}

// ask makes one call. question is sent as JSON; nil for none.
func (c *caller) ask(ctx context.Context, method, path string, question any) (answer, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return answer{}, fmt.Errorf("encode a question: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, outcome.NeedsOperator(outcome.Account, "settings", errors.New("base_url makes no URL"))
	}
	if question == nil {
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
	}
	r.Header = c.credentials()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	got, err := c.client.Do(r)
	if err != nil {
		return answer{}, noAnswer(err)
	}
	defer func() { _ = got.Body.Close() }()
	a := answer{status: got.StatusCode, after: limit.RetryAfter(got.Header, time.Now())}
	if a.body, err = io.ReadAll(io.LimitReader(got.Body, largestAnswer)); err != nil {
		return answer{}, noAnswer(err)
	}
	return a, nil
}

// noAnswer is a call of which nobody knows whether it was heard. It drops the address, which may hold a link's name.
func noAnswer(err error) error {
	if in := new(url.Error); errors.As(err, &in) {
		err = in.Err
	}
	if later := new(limit.LaterError); errors.As(err, &later) {
		return later.Outcome(err)
	}
	return outcome.Failure(outcome.Provider, "no-answer", err)
}

// decode reads a body that should hold what was asked for. Where it does not, something stood in between.
func (a answer) decode(into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return outcome.Failure(outcome.Provider, "unreadable", fmt.Errorf("HTTP %d without the JSON that was asked for", a.status))
	}
	return nil
}

// An error's code as both vendors write them: INVALID_ARG_DOMAIN, AlreadyExists.
var vendorCodes = regexp.MustCompile(`^[A-Za-z_]{1,60}$`)

// err describes a response that is no success, with the vendor's own code for it.
func (a answer) err(code string) error {
	err := fmt.Errorf("HTTP %d", a.status)
	if vendorCodes.MatchString(code) { // else it may be a sentence, with anything in it
		err = fmt.Errorf("HTTP %d %s", a.status, code)
	}
	if a.after > 0 {
		err = outcome.RetryAfter(a.after, err)
	}
	return err
}

// refusal is the outcome of a response that is no success, by its status.
func (a answer) refusal(code string) error {
	switch err := a.err(code); {
	case a.status == http.StatusPaymentRequired:
		return planLimit(err)
	case a.status == http.StatusUnauthorized:
		return badCredentials(err)
	case a.status == http.StatusTooManyRequests:
		return outcome.Failure(outcome.Provider, "throttled", err)
	case a.status == http.StatusRequestTimeout || a.status >= http.StatusInternalServerError:
		return outcome.Failure(outcome.Provider, "unavailable", err)
	default:
		return outcome.Refused(outcome.Provider, "refused", err)
	}
}

// planLimit is the outcome of a call over the limit of the account's plan, which lasts longer than a signer waits.
func planLimit(err error) error { return outcome.Refused(outcome.Operator, "plan-limit", err) }

// badCredentials is the outcome of a call that the account's credentials do not permit.
func badCredentials(err error) error {
	return outcome.NeedsOperator(outcome.Account, "credentials", err)
}

// unusable is the outcome of a short form that no message may carry.
func unusable(text string) error {
	return outcome.Refused(outcome.Provider, "unusable", errors.New(text))
}

// longestShort is the longest that a short link may be: a text message has 160 characters.
const longestShort = 100

// usable passes a short form that a signer can be sent to.
func usable(short string) (string, error) {
	u, err := url.Parse(short)
	if err != nil || !isWeb(u) || u.User != nil || len(short) > longestShort || strings.ContainsFunc(short, unprintable) {
		return "", unusable("what came back is no short http(s) address")
	}
	return short, nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }
