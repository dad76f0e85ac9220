// Package rest is what the packs' REST clients have in common: how a provider's API is asked so that credentials stay on
// its host, answers stay small, and errors say what to do next and nothing else.
package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Server is where a provider's API stands when the settings do not say.
type Server struct {
	BaseURL string // without a path
	Version string // the path that all its addresses begin with: "/v1.1"; empty for none
}

// Client asks one source's REST API.
type Client struct {
	base        string // without a slash at the end
	credentials http.Header
	following   *http.Client // redirects that stay on the host
	still       *http.Client // no redirects, and a body may take longer than an answer
	within      time.Duration
}

// New makes a client that brings the credentials, which are headers, to the server in the settings and to no other. Of
// client it takes the transport and the time that an answer may take.
func New(settings config.API, at Server, credentials http.Header, client *http.Client) (*Client, error) {
	base := settings.BaseURL
	if base == "" {
		base = at.BaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("api.base_url is not the http or https URL of a server")
	}
	if !strings.HasSuffix(base, at.Version) {
		base += at.Version
	}
	c := &Client{base: base, credentials: credentials, following: &http.Client{}, still: &http.Client{}, within: client.Timeout}
	*c.following, *c.still = *client, *client
	c.following.CheckRedirect = stayOnHost
	c.still.CheckRedirect = stayPut
	c.still.Timeout = 0
	return c, nil
}

// stayOnHost keeps the credentials, and the ids in the path, from every server but the one in the settings. A redirect
// that leads elsewhere is an answer like any other, and none that helps.
func stayOnHost(r *http.Request, via []*http.Request) error {
	if len(via) >= 5 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

func stayPut(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Call is one question.
type Call struct {
	Op   string // its name in errors: "GET document"
	Path string // below the base URL; {id} stands for ID: "/document/{id}/"
	ID   string // as the provider gave it, which need not be harmless
}

// largestAnswer bounds what is read of an answer: a document with a hundred people has about 100 KiB.
const largestAnswer = 1 << 20

// Get returns the body of a 200, which is JSON as far as it was asked for. Every other end is a *pack.CallError.
func (c *Client) Get(ctx context.Context, call Call) ([]byte, error) {
	r, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.following.Do(r)
	if err != nil {
		return nil, call.failed(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, call.Refused(answer)
	}
	return call.Body(ctx, answer)
}

// Body reads an answer's body to its end, which is a *pack.CallError where it does not come or is over 1 MiB.
func (call Call) Body(ctx context.Context, answer *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	switch {
	case err != nil:
		return nil, call.failed(ctx, err)
	case len(body) > largestAnswer:
		return nil, &pack.CallError{Op: call.Op, Err: fmt.Errorf("the answer is over %d bytes", largestAnswer)}
	}
	return body, nil
}

// bodyWithin is how long the body of an answer to Ask may take: a document of 10 MB at 0.3 Mbit/s.
const bodyWithin = 5 * time.Minute

// Ask returns an answer of whatever status, its body still to be read, and follows no redirect: for answers that are an
// address, or a whole document on its way to somebody. Whoever asked closes the body. No answer is a *pack.CallError.
func (c *Client) Ask(ctx context.Context, call Call) (*http.Response, error) {
	// A client's own timeout would hold for the body as well.
	asked, cancel := context.WithCancelCause(ctx)
	r, err := c.request(asked, call)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	within := c.within
	if within == 0 {
		within = bodyWithin
	}
	late := time.AfterFunc(within, func() { cancel(context.DeadlineExceeded) })
	answer, err := c.still.Do(r)
	if err != nil {
		late.Stop()
		cancel(nil)
		return nil, call.failed(ctx, err)
	}
	late.Reset(bodyWithin)
	answer.Body = &body{ReadCloser: answer.Body, end: func() {
		late.Stop()
		cancel(nil)
	}}
	return answer, nil
}

// body gives back what waits for its end.
type body struct {
	io.ReadCloser
	end func()
}

func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	if !Harmless(call.ID) {
		return nil, &pack.CallError{Op: call.Op, Then: pack.GiveUp, Err: errors.New("the id is none that can be asked for")}
	}
	address := c.base + strings.Replace(call.Path, "{id}", url.PathEscape(call.ID), 1)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &pack.CallError{Op: call.Op, Then: pack.GiveUp, Err: errors.New("the id makes no URL")}
	}
	for name, values := range c.credentials {
		r.Header[name] = values
	}
	return r, nil
}

// Harmless tells whether an id stays in its place of a path. Escaping leaves dots alone, and a server may walk up on
// them; some read an escaped slash as a slash.
func Harmless(id string) bool {
	return strings.Trim(id, ".") != "" && !strings.ContainsFunc(id, func(r rune) bool { return r == '/' || r == '\\' || r < ' ' || r == 0x7f })
}
