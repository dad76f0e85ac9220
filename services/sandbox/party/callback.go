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
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/telemetry"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

// The retries of a callback. A provider retries for days. Here the limit is short, because a person waits for the story.
const (
	maxAttempts = 5
	callTimeout = 30 * time.Second
	defaultWait = time.Second
	maxWait     = 10 * time.Second
)

// Outcome is ingest's response to one callback.
type Outcome struct {
	Event  string   `json:"event"`  // the provider's name of it: request_sent
	Status int      `json:"status"` // HTTP; 0 if there was no response
	IDs    []string `json:"ids"`    // of the events that were stored for it
}

// ErrRefused means that ingest did not accept a callback.
var ErrRefused = errors.New("ingest did not accept a callback")

// Callbacks signs callbacks and sends them to ingest.
type Callbacks struct {
	ingest string // the address of ingest, without a slash at the end
	key    *rsa.PrivateKey
	client *http.Client
	odd    *Odd

	registry registry
}

// NewCallbacks returns an error if sandbox.key is not a key.
func NewCallbacks(cfg sandboxsettings.Sandbox, odd *Odd) (*Callbacks, error) {
	key, err := readKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	return &Callbacks{ingest: strings.TrimRight(cfg.IngestURL, "/"), key: key, odd: odd, registry: registry{have: map[string][]Registered{}}, client: &http.Client{
		Timeout: callTimeout,
		// A redirected callback was not accepted.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// readKey reads the key that belongs to a source's certificate. It returns nil for an empty text.
func readKey(text string) (*rsa.PrivateKey, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // most sources need no key
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

// Send signs a callback as its provider does, and sends it until ingest accepts it or refuses it permanently, at most five times. An odd
// callback has its fields in another order, or is sent twice, in sequence or at the same time, because a provider without a response sends
// the callback again.
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
		again.Go(func() { _, _ = s.send(ctx, source, other) }) // the outcome of the first one counts
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
	callbackField         // an undocumented field
	callbackTwice         // sent again after the response
	callbackAtOnce        // sent twice at the same time
	oddCallbacks
)

// send sends a callback to each of its targets. The outcome is the last one's.
func (s *Callbacks) send(ctx context.Context, source config.Source, c Callback) (outcome Outcome, err error) {
	outcome = Outcome{Event: c.Event, IDs: []string{}}
	for _, to := range s.targets(source, c) {
		if outcome, err = s.sendTo(ctx, to, c); err != nil {
			return outcome, err
		}
	}
	return outcome, nil
}

func (s *Callbacks) sendTo(ctx context.Context, to target, c Callback) (Outcome, error) {
	outcome := Outcome{Event: c.Event, IDs: []string{}}
	p, ok := providers.ByName(to.source.Provider)
	if !ok {
		return outcome, fmt.Errorf("no pack for provider %s", to.source.Provider)
	}
	signed, err := p.Sign(to.source, s.key, c.Request)
	if err != nil {
		return outcome, fmt.Errorf("sign %s for source %s: %w", c.Event, to.source.Name, err)
	}
	c.Request = signed
	address := to.address
	if len(c.Request.Query) > 0 && !strings.Contains(address, "?") { // a registered address has its own query
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
			return outcome, fmt.Errorf("%w: the response to %s is %d", ErrRefused, c.Event, outcome.Status)
		case try == maxAttempts && err != nil:
			return outcome, fmt.Errorf("%w: %s: %w", ErrRefused, c.Event, err)
		case try == maxAttempts:
			return outcome, fmt.Errorf("%w: the response to %s is %d, %d times", ErrRefused, c.Event, outcome.Status, try)
		}
		if err := Wait(ctx, retryAfter); err != nil {
			return outcome, err
		}
	}
}

// sendOnce sends a callback once. It returns the outcome, and the delay before a retry.
func (s *Callbacks) sendOnce(ctx context.Context, address string, c Callback) (Outcome, time.Duration, error) {
	outcome := Outcome{Event: c.Event, IDs: []string{}}
	request, err := http.NewRequestWithContext(ctx, c.Request.Method, address, bytes.NewReader(c.Request.Body))
	if err != nil {
		return outcome, defaultWait, errors.New("sandbox.ingest_url is not a URL")
	}
	request.Header = c.Request.Header.Clone()
	response, err := s.client.Do(request)
	if err != nil {
		return outcome, defaultWait, fmt.Errorf("no response: %w", telemetry.WithoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	outcome.Status = response.StatusCode

	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return outcome, defaultWait, fmt.Errorf("read the response: %w", err)
	}
	var accepted struct {
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(body, &accepted) == nil && accepted.IDs != nil { // without ids it is a duplicate or a refusal
		outcome.IDs = accepted.IDs
	}
	return outcome, retryAfter(response.Header.Get("Retry-After")), nil
}

// retryAfter parses a Retry-After header in seconds, the form that ingest uses.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return defaultWait
	}
	return min(time.Duration(seconds)*time.Second, maxWait)
}

// Wait waits for d, or until ctx ends.
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
