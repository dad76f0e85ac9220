package party

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

// How long a callback is tried. A provider tries for days; whoever plays a story waits for it.
const (
	callTries   = 5
	callTimeout = 30 * time.Second
	usualWait   = time.Second
	longestWait = 10 * time.Second
)

// Outcome is ingest's response to one callback.
type Outcome struct {
	Event  string   `json:"event"`  // in the provider's words: request_sent
	Status int      `json:"status"` // HTTP; 0 when no response came
	IDs    []string `json:"ids"`    // of the events that it became
}

// ErrRefused is that ingest did not take a callback.
var ErrRefused = errors.New("ingest did not take a callback")

// Callbacks signs callbacks and sends them to ingest.
type Callbacks struct {
	ingest string // its address, without a slash at the end
	key    *rsa.PrivateKey
	client *http.Client
	odd    *Odd
}

// NewCallbacks returns an error where sandbox.key is no key.
func NewCallbacks(cfg sandboxsettings.Sandbox, odd *Odd) (*Callbacks, error) {
	key, err := readKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	return &Callbacks{ingest: strings.TrimRight(cfg.IngestURL, "/"), key: key, odd: odd, client: &http.Client{
		Timeout: callTimeout,
		// A callback that is sent elsewhere was not taken.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// readKey reads the key behind a source's certificate; nil where there is none.
func readKey(text string) (*rsa.PrivateKey, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no key is what most sources need
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("sandbox.key is not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("sandbox.key is not an RSA private key")
	}
	return key, nil
}

// Send signs a callback as its provider does, and sends it until it is taken, refused for good, or has been tried five
// times. An odd callback has its fields in another order, or is sent twice, one after the other or at once: providers send
// again what they take for lost.
func (s *Callbacks) Send(ctx context.Context, source config.Source, c Callback) (Outcome, error) {
	which := s.odd.Pick(oddCallbacks)
	if which == callbackOrder || which == callbackField {
		c.Request.Body = oddJSON(c.Request.Body, which == callbackField) // a form stays as it is
	}
	var again sync.WaitGroup
	defer again.Wait()
	if which == callbackAtOnce {
		other := c
		other.Request.Header = c.Request.Header.Clone()
		again.Go(func() { _, _ = s.send(ctx, source, other) }) // the first one's outcome counts
	}
	outcome, err := s.send(ctx, source, c)
	if err == nil && which == callbackTwice {
		_, err = s.send(ctx, source, c)
	}
	return outcome, err
}

// The oddities of a callback.
const (
	callbackOrder  = iota // the fields in another order
	callbackField         // a field that no document names
	callbackTwice         // sent again behind it
	callbackAtOnce        // sent twice at once
	oddCallbacks
)

func (s *Callbacks) send(ctx context.Context, source config.Source, c Callback) (Outcome, error) {
	outcome := Outcome{Event: c.Event, IDs: []string{}}
	p, ok := providers.ByName(source.Provider)
	if !ok {
		return outcome, fmt.Errorf("there is no pack of %s", source.Provider)
	}
	signed, err := p.Sign(source, s.key, c.Request)
	if err != nil {
		return outcome, fmt.Errorf("sign %s for source %s: %w", c.Event, source.Name, err)
	}
	c.Request = signed
	address := s.ingest + "/webhooks/" + source.Provider + "/" + source.Name + c.Request.Route
	if len(c.Request.Query) > 0 {
		address += "?" + c.Request.Query.Encode()
	}

	for try := 1; ; try++ {
		outcome, retryAfter, err := s.sendOnce(ctx, address, c)
		switch {
		case err == nil && outcome.Status/100 == 2:
			return outcome, nil
		case err != nil && ctx.Err() != nil:
			return outcome, ctx.Err()
		case err == nil && outcome.Status != http.StatusServiceUnavailable && outcome.Status != http.StatusTooManyRequests:
			return outcome, fmt.Errorf("%w: %s was answered %d", ErrRefused, c.Event, outcome.Status)
		case try == callTries && err != nil:
			return outcome, fmt.Errorf("%w: %s: %w", ErrRefused, c.Event, err)
		case try == callTries:
			return outcome, fmt.Errorf("%w: %s was answered %d, %d times", ErrRefused, c.Event, outcome.Status, try)
		}
		if err := Wait(ctx, retryAfter); err != nil {
			return outcome, err
		}
	}
}

// sendOnce sends a callback and returns the outcome, and when to come again if it was not taken.
func (s *Callbacks) sendOnce(ctx context.Context, address string, c Callback) (Outcome, time.Duration, error) {
	outcome := Outcome{Event: c.Event, IDs: []string{}}
	request, err := http.NewRequestWithContext(ctx, c.Request.Method, address, bytes.NewReader(c.Request.Body))
	if err != nil {
		return outcome, usualWait, errors.New("sandbox.ingest_url is not a URL")
	}
	request.Header = c.Request.Header.Clone()
	response, err := s.client.Do(request)
	if err != nil {
		return outcome, usualWait, fmt.Errorf("no answer: %w", WithoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	outcome.Status = response.StatusCode

	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return outcome, usualWait, fmt.Errorf("read the answer: %w", err)
	}
	var taken struct {
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(body, &taken) == nil && taken.IDs != nil { // a response without ids is a duplicate, or a refusal
		outcome.IDs = taken.IDs
	}
	return outcome, retryAfter(response.Header.Get("Retry-After")), nil
}

// WithoutURL is what went wrong without the address, which may hold a token.
func WithoutURL(err error) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// retryAfter reads a Retry-After in seconds, which is how ours is written.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return usualWait
	}
	return min(time.Duration(seconds)*time.Second, longestWait)
}

// Wait waits, but not beyond the end of ctx.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
