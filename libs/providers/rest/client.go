// Package rest is the common part of the packs' REST clients. It keeps credentials on the provider's host, bounds the size of responses, and
// returns errors that state the next step and reveal no data.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
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

// Server is the default address of a provider's API.
type Server struct {
	BaseURL string // without a path
	Version string // the prefix of all paths: "/v1.1"; empty for none
}

// Client calls one source's REST API.
type Client struct {
	base        string // without a trailing slash
	credentials http.Header
	redirecting *http.Client // follows redirects that stay on the host
	streaming   *http.Client // follows no redirects; the body has its own, longer timeout
	within      time.Duration
}

// New makes a client that sends the credentials, which are headers, to the server in the settings and to no other. It takes the transport and
// the response timeout from client.
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
	c := &Client{base: base, credentials: credentials, redirecting: &http.Client{}, streaming: &http.Client{}, within: client.Timeout}
	*c.redirecting, *c.streaming = *client, *client
	c.redirecting.CheckRedirect = stayOnHost
	c.streaming.CheckRedirect = stayPut
	c.streaming.Timeout = 0
	return c, nil
}

// stayOnHost keeps the credentials, and the ids in the path, on the server in the settings. A redirect to another host is not followed; its
// response counts as a failure.
func stayOnHost(r *http.Request, via []*http.Request) error {
	if len(via) >= 5 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

func stayPut(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Call is one request.
type Call struct {
	Op    string // its name in errors: "GET document"
	Path  string // below the base URL; {id} stands for ID: "/document/{id}/"
	ID    string // as the provider sent it; it may be malicious. Empty for a list
	Query url.Values
	// Header has headers of this call besides the credentials.
	Header http.Header
	// List is true for a request for many documents: it needs no ID, and its response may be larger.
	List bool
}

// The limits in bytes for a response: a document with a hundred people has about 100 KiB, and a page of a list a hundred documents.
const (
	largestResponse = 1 << 20
	largestList     = 16 << 20
)

// Get requests JSON and returns the body of a 200. Every other result is an error that package outcome reads, around a *pack.CallError.
func (c *Client) Get(ctx context.Context, call Call) ([]byte, error) {
	r, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	response, err := c.redirecting.Do(r)
	if err != nil {
		return nil, call.failed(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, call.Refused(response)
	}
	return call.Body(ctx, response)
}

// Change is a request that changes something at the provider.
type Change struct {
	Op     string // its name in errors: "PUT enterprise"
	Method string
	Path   string // below the base URL; {id} stands for ID
	ID     string // as the provider sent it; empty for a path without {id}
	Body   []byte // JSON
}

// Change sends a change once, and returns the body of a response with a status of 2xx. It follows no redirect. Its errors are those of Get, with
// the provider's message.
func (c *Client) Change(ctx context.Context, change Change) ([]byte, error) {
	call := Call{Op: change.Op, Path: change.Path, ID: change.ID, List: !strings.Contains(change.Path, "{id}")}
	r, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	r.Method, r.Body, r.ContentLength = change.Method, io.NopCloser(bytes.NewReader(change.Body)), int64(len(change.Body))
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	direct := *c.redirecting
	direct.CheckRedirect = stayPut
	response, err := direct.Do(r)
	if err != nil {
		return nil, call.failed(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxMessage+1)) // without it, the error has no message
		err := call.Refused(response)
		var refused *pack.CallError
		if errors.As(err, &refused) {
			refused.Message = message(body)
		}
		return nil, err
	}
	return call.Body(ctx, response)
}

// maxMessage is the longest body in bytes that is shown as a message as it is.
const maxMessage = 300

// message returns the provider's explanation in the body of a refusal: the field message or error of an object, or a short text.
func message(body []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil {
		for _, name := range []string{"message", "error", "detail"} {
			var text string
			if json.Unmarshal(fields[name], &text) == nil && text != "" {
				return text
			}
		}
	}
	if len(body) > maxMessage || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) { // a page
		return ""
	}
	return string(bytes.TrimSpace(body))
}

// Body reads a response's whole body. It fails like Get if the body breaks off or is over 1 MiB; 16 MiB for a list.
func (call Call) Body(ctx context.Context, response *http.Response) ([]byte, error) {
	largest := largestResponse
	if call.List {
		largest = largestList
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(largest)+1))
	switch {
	case err != nil:
		return nil, call.failed(ctx, err)
	case len(body) > largest:
		return nil, call.failure(fmt.Errorf("the response is over %d bytes", largest))
	}
	return body, nil
}

// bodyTimeout is the maximum time between two reads of the body of a response to Do. A body of 1 GB may take half an hour, and its reader limits
// the whole time.
const bodyTimeout = time.Minute

// Do returns a response of any status with its body unread, and follows no redirect. It is for responses that contain an address, or a whole
// document that is passed on to a person. The caller closes the body. Without a response, it fails like Get.
func (c *Client) Do(ctx context.Context, call Call) (*http.Response, error) {
	// A timeout of the http.Client would include the body.
	asked, cancel := context.WithCancelCause(ctx)
	r, err := c.request(asked, call)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "identity") // so that a document's response states its length
	within := c.within
	if within == 0 {
		within = bodyTimeout
	}
	late := time.AfterFunc(within, func() { cancel(context.DeadlineExceeded) })
	response, err := c.streaming.Do(r)
	if err != nil {
		late.Stop()
		cancel(nil)
		return nil, call.failed(ctx, err)
	}
	late.Reset(bodyTimeout)
	response.Body = &body{ReadCloser: response.Body, late: late, end: func() { cancel(nil) }}
	return response, nil
}

// body starts its timer again at each read, and releases its context when it is closed.
type body struct {
	io.ReadCloser
	late *time.Timer
	end  func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.late.Reset(bodyTimeout)
	}
	return n, err
}

func (b *body) Close() error {
	b.late.Stop()
	defer b.end()
	return b.ReadCloser.Close()
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	if !call.List && !SafeID(call.ID) {
		return nil, call.invalid(errors.New("the id is not valid in a URL's path"))
	}
	address := c.base + strings.Replace(call.Path, "{id}", url.PathEscape(call.ID), 1)
	if len(call.Query) > 0 {
		address += "?" + call.Query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, call.invalid(errors.New("the id does not form a URL"))
	}
	for name, values := range call.Header {
		r.Header[name] = values
	}
	for name, values := range c.credentials {
		r.Header[name] = values
	}
	return r, nil
}

// SafeID reports whether an id stays within its path segment. Escaping does not change dots, which a server may resolve upwards; some servers
// read an escaped slash as a slash.
func SafeID(id string) bool {
	return strings.Trim(id, ".") != "" && !strings.ContainsFunc(id, func(r rune) bool { return r == '/' || r == '\\' || r < ' ' || r == 0x7f })
}
