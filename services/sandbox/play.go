package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Played is what came of a story.
type Played struct {
	Documents []string  `json:"documents"` // ids, in the story's order
	Callbacks []Outcome `json:"callbacks"` // in the order in which they were sent
}

// Outcome is what ingest answered to one callback.
type Outcome struct {
	Event  string   `json:"event"`  // in the provider's words: request_sent
	Status int      `json:"status"` // HTTP; 0 when no answer came
	IDs    []string `json:"ids"`    // of the events that it became
}

var (
	errNoStory  = errors.New("there is no such story")
	errNoSource = errors.New("no source of this provider is configured")
	errRefused  = errors.New("ingest did not take a callback")
)

// callback is one HTTP request to ingest, signed.
type callback struct {
	event  string
	url    string
	header http.Header
	body   []byte
}

// Play puts a story's documents into the stand-in, under fresh ids, and sends its callbacks to ingest, signed for the
// first source of that provider. It waits for the answer to each, and pauses before the next. When a callback is not
// taken it stops, and returns what was played until then with the error.
//
// The pause leaves the pipeline time to ask the stand-in about a document before it changes again, as people do who read
// before they sign. Without one, everything must still come out right, only some messages have lost their point: nobody
// is invited to sign what he has signed.
func (s *Server) Play(ctx context.Context, provider, name string, pause time.Duration) (Played, error) {
	played := Played{Documents: []string{}, Callbacks: []Outcome{}}
	told, ok := storyNamed(provider, name)
	if !ok {
		return played, errNoStory
	}
	i := slices.IndexFunc(s.cfg.Sources, func(source config.Source) bool { return source.Provider == provider })
	if i < 0 {
		return played, errNoSource
	}
	source := s.cfg.Sources[i]
	door := strings.TrimRight(s.cfg.Sandbox.IngestURL, "/") + "/webhooks/" + provider + "/" + source.Name

	for _, d := range told.documents {
		played.Documents = append(played.Documents, s.clickwrap.put(d))
	}
	for i, h := range told.happens {
		if i > 0 {
			if err := wait(ctx, pause); err != nil {
				return played, err
			}
		}
		call, err := s.clickwrap.happen(played.Documents[h.document], h, source, door)
		if err != nil {
			return played, err
		}
		outcome, err := s.call(ctx, call)
		played.Callbacks = append(played.Callbacks, outcome)
		if err != nil {
			return played, err
		}
	}
	return played, nil
}

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

// call sends a callback until it is taken, refused for good, or has been tried five times.
func (s *Server) call(ctx context.Context, c callback) (Outcome, error) {
	for try := 1; ; try++ {
		outcome, retryAfter, err := s.callOnce(ctx, c)
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

// callOnce sends a callback and returns the answer, and when to come again if it was not taken.
func (s *Server) callOnce(ctx context.Context, c callback) (Outcome, time.Duration, error) {
	outcome := Outcome{Event: c.event, IDs: []string{}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return outcome, usualWait, errors.New("sandbox.ingest_url is not a URL")
	}
	request.Header = c.header.Clone()
	answer, err := s.callbacks.Do(request)
	if err != nil {
		if wrapped := new(url.Error); errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a token
		}
		return outcome, usualWait, fmt.Errorf("no answer: %w", err)
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
