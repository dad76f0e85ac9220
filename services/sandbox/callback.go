package sandbox

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
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
)

// How patiently a callback is sent. A provider tries for days; whoever plays a story waits for it.
const (
	callTries   = 5
	callTimeout = 30 * time.Second
	usualWait   = time.Second
	longestWait = 10 * time.Second
)

func newCallbackClient() *http.Client {
	return &http.Client{
		Timeout: callTimeout,
		// A callback that is sent elsewhere was not taken.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// readKey reads the key behind the esign-v1 sources' certificate; nil where there is none.
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

// send signs a callback as its provider does, and sends it until it is taken, refused for good, or has been tried five
// times.
func (s *Server) send(ctx context.Context, source config.Source, c callback) (Outcome, error) {
	outcome := Outcome{Event: c.event, IDs: []string{}}
	p, ok := providers.ByName(source.Provider)
	if !ok {
		return outcome, fmt.Errorf("there is no pack of %s", source.Provider)
	}
	signed, err := p.Sign(source, s.key, c.request)
	if err != nil {
		return outcome, fmt.Errorf("sign %s for source %s: %w", c.event, source.Name, err)
	}
	c.request = signed
	address := strings.TrimRight(s.cfg.Sandbox.IngestURL, "/") + "/webhooks/" + source.Provider + "/" + source.Name + c.request.Door
	if len(c.request.Query) > 0 {
		address += "?" + c.request.Query.Encode()
	}

	for try := 1; ; try++ {
		outcome, retryAfter, err := s.sendOnce(ctx, address, c)
		switch {
		case err == nil && outcome.Status/100 == 2:
			return outcome, nil
		case err != nil && ctx.Err() != nil:
			return outcome, ctx.Err()
		case err == nil && outcome.Status != http.StatusServiceUnavailable && outcome.Status != http.StatusTooManyRequests:
			return outcome, fmt.Errorf("%w: %s was answered %d", errRefused, c.event, outcome.Status)
		case try == callTries && err != nil:
			return outcome, fmt.Errorf("%w: %s: %w", errRefused, c.event, err)
		case try == callTries:
			return outcome, fmt.Errorf("%w: %s was answered %d, %d times", errRefused, c.event, outcome.Status, try)
		}
		if err := wait(ctx, retryAfter); err != nil {
			return outcome, err
		}
	}
}

// sendOnce sends a callback and returns the answer, and when to come again if it was not taken.
func (s *Server) sendOnce(ctx context.Context, address string, c callback) (Outcome, time.Duration, error) {
	outcome := Outcome{Event: c.event, IDs: []string{}}
	request, err := http.NewRequestWithContext(ctx, c.request.Method, address, bytes.NewReader(c.request.Body))
	if err != nil {
		return outcome, usualWait, errors.New("sandbox.ingest_url is not a URL")
	}
	request.Header = c.request.Header.Clone()
	answer, err := s.callbacks.Do(request)
	if err != nil {
		return outcome, usualWait, fmt.Errorf("no answer: %w", withoutURL(err))
	}
	defer func() { _ = answer.Body.Close() }()
	outcome.Status = answer.StatusCode

	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return outcome, usualWait, fmt.Errorf("read the answer: %w", err)
	}
	var taken struct {
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(body, &taken) == nil && taken.IDs != nil { // an answer without ids is a duplicate, or a refusal
		outcome.IDs = taken.IDs
	}
	return outcome, retryAfter(answer.Header.Get("Retry-After")), nil
}

// withoutURL is what went wrong without the address, which may hold a token.
func withoutURL(err error) error {
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

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
