package shortener

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/telemetry"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// outside is an outside shortener: Bitly or Rebrandly.
type outside interface {
	// shorten returns the short form of one of our links. It returns the same form at each call, so that a lost response does no harm. It
	// fails with an outcome: Refused, NeedsOperator or Failure with a bounded cause, [a-z-], a metric's label and an event's attribute; or
	// NotTried by our own limit. An error's text contains neither the link nor credentials.
	shorten(ctx context.Context, link string) (string, error)
}

// newOutside returns the shortener of the settings; nil for kind builtin. Of its settings, only the credentials may change while it runs.
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
	callTimeout = 5 * time.Second // for one call, with the wait for its rate-limit slot
	slotTimeout = 2 * time.Second // for that slot; with a longer wait, a backlog would occupy all workers

	// largestResponse is the limit in bytes for a response; a link has about 1 KiB.
	largestResponse = 64 << 10
)

// caller makes the calls to one outside shortener.
type caller struct {
	client      http.Client
	base        string             // without a trailing slash
	credentials func() http.Header // the current credentials: a new client for new credentials would open more connections
}

// newCaller makes a caller with a rate limit and a maximum number of concurrent calls.
func newCaller(base string, credentials func() http.Header, rate limit.Rate, atOnce int, limits limit.Limiter, key string) caller {
	// In HTTP/1 each concurrent call has a connection, so the limit on connections limits calls.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return caller{
		base: base, credentials: credentials,
		client: http.Client{
			Timeout: callTimeout,
			Transport: limit.Transport{
				Base: &http.Transport{
					Proxy: http.ProxyFromEnvironment, Protocols: protocols,
					MaxConnsPerHost: atOnce, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: 90 * time.Second,
				},
				Limiter: limits, Key: key, Rate: rate, MaxWait: slotTimeout,
			},
			// No redirect is followed, so no other server gets the credentials or the link.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// response is a vendor's response, with any status.
type response struct {
	status int
	body   []byte
	after  time.Duration // Retry-After
}

// call makes one call. body is sent as JSON; nil for none.
func (c *caller) call(ctx context.Context, method, path string, body any) (response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return response{}, fmt.Errorf("encode a request: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return response{}, outcome.NeedsOperator(outcome.Account, "settings", errors.New("base_url is not a URL"))
	}
	if body == nil {
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
	}
	r.Header = c.credentials()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	got, err := c.client.Do(r)
	if err != nil {
		return response{}, noResponse(err)
	}
	defer func() { _ = got.Body.Close() }()
	read := response{status: got.StatusCode, after: limit.RetryAfter(got.Header, time.Now())}
	if read.body, err = io.ReadAll(io.LimitReader(got.Body, largestResponse)); err != nil {
		return response{}, noResponse(err)
	}
	return read, nil
}

// noResponse returns the outcome of a call without a complete response: it is unknown whether the vendor received it. The error omits the
// address, because it may contain the link's name.
func noResponse(err error) error {
	err = telemetry.WithoutURL(err)
	if later := new(limit.LaterError); errors.As(err, &later) {
		return later.Outcome(err)
	}
	return outcome.Failure(outcome.Provider, "no-answer", err)
}

// decode reads the JSON of a successful response. A body in another form comes from a proxy.
func (r response) decode(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return outcome.Failure(outcome.Provider, "unreadable", fmt.Errorf("HTTP %d without the expected JSON", r.status))
	}
	return nil
}

// vendorCodes matches the error codes of both vendors: INVALID_ARG_DOMAIN, AlreadyExists.
var vendorCodes = regexp.MustCompile(`^[A-Za-z_]{1,60}$`)

// err describes a response without success, with the vendor's own error code.
func (r response) err(code string) error {
	err := fmt.Errorf("HTTP %d", r.status)
	if vendorCodes.MatchString(code) { // any other text may quote the request
		err = fmt.Errorf("HTTP %d %s", r.status, code)
	}
	if r.after > 0 {
		err = outcome.RetryAfter(r.after, err)
	}
	return err
}

// refusal returns the outcome of a response without success, by its status.
func (r response) refusal(code string) error {
	switch err := r.err(code); {
	case r.status == http.StatusPaymentRequired:
		return planLimit(err)
	case r.status == http.StatusUnauthorized:
		return badCredentials(err)
	case r.status == http.StatusTooManyRequests:
		return outcome.Failure(outcome.Provider, "throttled", err)
	case r.status == http.StatusRequestTimeout || r.status >= http.StatusInternalServerError:
		return outcome.Failure(outcome.Provider, "unavailable", err)
	default:
		return outcome.Refused(outcome.Provider, "refused", err)
	}
}

// planLimit returns the outcome of a call over the limit of the account's plan, which lasts longer than a signer waits.
func planLimit(err error) error { return outcome.Refused(outcome.Operator, "plan-limit", err) }

// badCredentials returns the outcome of a call that the account's credentials do not permit.
func badCredentials(err error) error {
	return outcome.NeedsOperator(outcome.Account, "credentials", err)
}

// unusable returns the outcome of a short form that no message may carry.
func unusable(text string) error {
	return outcome.Refused(outcome.Provider, "unusable", errors.New(text))
}

// longestShort is the maximum length of a short link: a text message has 160 characters.
const longestShort = 100

// usable returns a short form that a message can carry, or an error.
func usable(short string) (string, error) {
	if !pack.Address(short) || len(short) > longestShort || strings.ContainsFunc(short, unprintable) {
		return "", unusable("the response contains no short http(s) address")
	}
	return short, nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }
