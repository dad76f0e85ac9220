package clickwrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

const (
	defaultBaseURL = "https://api.pactsafe.com"
	version        = "/v1.1"

	// largestAnswer bounds what is read of an answer: a request with a hundred signers has about 100 KiB.
	largestAnswer = 1 << 20

	getRequest = "GET request"
)

type api struct {
	base  string // without a slash at the end
	token string
	http  *http.Client
}

func newAPI(s config.Source, client *http.Client) (pack.API, error) {
	if s.API.Token == "" {
		return nil, errors.New("api.token is empty: set it to an access token of the REST API")
	}
	base := s.API.BaseURL
	if base == "" {
		base = defaultBaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("api.base_url is not the http or https URL of a server")
	}
	base = strings.TrimRight(base, "/")
	if !strings.HasSuffix(base, version) {
		base += version
	}
	own := *client
	own.CheckRedirect = stayOnHost
	return &api{base: base, token: s.API.Token, http: &own}, nil
}

// stayOnHost keeps the token, and the ids in the path, from every server but the one in the settings. A redirect that
// leads elsewhere is an answer like any other, and none that helps.
func stayOnHost(r *http.Request, via []*http.Request) error {
	if len(via) >= 5 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Document asks for a request and its signers. Every error is a *pack.CallError.
func (a *api) Document(ctx context.Context, id string) (*pack.Document, error) {
	// Escaping leaves dots alone, and a server may walk up on them.
	if id == "" || id == "." || id == ".." {
		return nil, &pack.CallError{Op: getRequest, Then: pack.GiveUp, Err: errors.New("the id is not one of a request")}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/requests/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, &pack.CallError{Op: getRequest, Then: pack.GiveUp, Err: errors.New("the id makes no URL")}
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Accept", "application/json")

	answer, err := a.http.Do(r)
	if err != nil {
		return nil, &pack.CallError{Op: getRequest, Err: cause(ctx, err)}
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		// Read a little, so that the connection can be used again; what it says may be personal.
		_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
		return nil, &pack.CallError{
			Op:         getRequest,
			Status:     answer.StatusCode,
			RetryAfter: retryAfter(answer.Header.Get("Retry-After"), time.Now()),
			Then:       then(answer.StatusCode),
		}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	switch {
	case err != nil:
		return nil, &pack.CallError{Op: getRequest, Err: cause(ctx, err)}
	case len(body) > largestAnswer:
		return nil, &pack.CallError{Op: getRequest, Err: fmt.Errorf("the answer is over %d bytes", largestAnswer)}
	}
	found, err := decode(body)
	if err != nil {
		return nil, &pack.CallError{Op: getRequest, Err: err}
	}
	return found.document(id), nil
}

// Open asks for the request again. Where a person's link leads stays the same, so a message carries it.
func (a *api) Open(ctx context.Context, link pack.Link) (*pack.Target, error) {
	d, err := a.Document(ctx, link.Document)
	if err != nil {
		return nil, err
	}
	for _, r := range d.Recipients {
		if r.ID != link.Recipient {
			continue
		}
		address := r.SigningURL
		if link.Purpose == pack.Download {
			address = r.DownloadURL
		}
		if address != "" {
			return &pack.Target{URL: address}, nil
		}
	}
	return nil, &pack.NotOpenError{Reason: pack.Gone}
}

// then tells what asking again can change. A 404 may pass: a request that was just sent may not be readable yet.
func then(status int) pack.Then {
	switch status {
	case http.StatusBadRequest, http.StatusGone, http.StatusUnprocessableEntity:
		return pack.GiveUp
	case http.StatusUnauthorized, http.StatusForbidden:
		return pack.Stop
	default:
		return pack.Retry
	}
}

// retryAfter reads seconds or an HTTP date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// cause is why no answer came, without the URL, the ids and the addresses that the network's own errors name.
func cause(ctx context.Context, err error) error {
	var name *net.DNSError
	var call *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &name):
		return errors.New("the server's name was not found")
	case isTimeout(err):
		return errors.New("no answer in time")
	case errors.As(err, &call):
		return fmt.Errorf("the connection failed (%s)", call.Op)
	default:
		return errors.New("the connection broke")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
