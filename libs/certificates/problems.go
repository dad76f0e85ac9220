package certificates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
)

// problems has what the ACME server last reported as wrong. autocert discards the reason of a failed challenge and of a failed renewal.
type problems struct {
	counted *prometheus.CounterVec
	log     *slog.Logger

	mu     sync.Mutex
	reason string
	detail string
	at     time.Time
	seen   []string // the addresses of the last failed challenges: autocert reads a failed one twice
}

// reasons are the types of RFC 8555, section 6.7, without their prefix, and two of our own. Any other type is "other".
var reasons = []string{
	"unreachable", "other",
	"accountDoesNotExist", "badCSR", "badPublicKey", "caa", "connection", "dns", "externalAccountRequired", "incorrectResponse", "invalidContact", "malformed",
	"orderNotReady", "rateLimited", "rejectedIdentifier", "serverInternal", "tls", "unauthorized", "unsupportedIdentifier", "userActionRequired",
}

func newProblems(metrics prometheus.Registerer, log *slog.Logger) *problems {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_acme_problems_total",
		Help: "Problems with the ACME server, by the type that it reported, or unreachable.",
	}, []string{"reason"})
	for _, reason := range reasons {
		counted.WithLabelValues(reason) // Prometheus misses a counter that first appears as 1
	}
	metrics.MustRegister(counted)
	return &problems{counted: counted, log: log}
}

// text returns the last problem.
func (p *problems) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == "" {
		return "the ACME server reported no problem"
	}
	return fmt.Sprintf("%s: %s (%s)", p.reason, p.detail, p.at.UTC().Format(time.RFC3339))
}

func (p *problems) unreachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason == "unreachable"
}

// logAgainAfter is the time after which a problem that continues is logged again.
const logAgainAfter = time.Hour

func (p *problems) add(reason, detail string) {
	if !slices.Contains(reasons, reason) {
		reason = "other"
	}
	p.counted.WithLabelValues(reason).Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	detail = telemetry.Mask(detail)
	if reason != p.reason || detail != p.detail || time.Since(p.at) > logAgainAfter {
		p.log.Warn("problem with the ACME server", "reason", reason, "detail", detail)
	}
	p.reason, p.detail, p.at = reason, detail, time.Now()
}

// mostSeen is more than the number of challenges that fail at the same time: two of each domain.
const mostSeen = 64

// first reports whether the failed challenge at this address was not seen before.
func (p *problems) first(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.seen, address) {
		return false
	}
	if len(p.seen) == mostSeen {
		p.seen = p.seen[1:]
	}
	p.seen = append(p.seen, address)
	return true
}

// problem is a problem document of RFC 8555.
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

func (p problem) reason() string { return strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:") }

// response is the part of the ACME server's responses that has problems: a response may be one, and the challenges of an authorization may each
// have one.
type response struct {
	problem

	Challenges []struct {
		URL   string   `json:"url"`
		Error *problem `json:"error"`
	} `json:"challenges"`
}

// errNotAllowed is the error of requests without the lease.
var errNotAllowed = errors.New("another replica deals with the ACME server")

// watched sends the requests to the ACME server while they are allowed, and notes the problems in the responses.
type watched struct {
	base     http.RoundTripper
	allowed  func() bool
	problems *problems
}

// largestResponse limits what is read of a response, in bytes. A chain of four certificates has 8 KiB.
const largestResponse = 1 << 20

// RoundTrip implements http.RoundTripper.
func (t *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.allowed() {
		return nil, errNotAllowed
	}
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		if r.Context().Err() == nil || t.allowed() {
			t.problems.add("unreachable", telemetry.WithoutURL(err).Error())
		}
		return nil, err //nolint:wrapcheck // a RoundTripper returns the error of the one below
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestResponse))
	_ = answer.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the response of the ACME server: %w", err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	t.note(answer, body)
	return answer, nil
}

func (t *watched) note(answer *http.Response, body []byte) {
	var has response
	if strings.Contains(answer.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(body, &has) // a body that is no JSON has no problem document
	}
	if answer.StatusCode >= http.StatusBadRequest {
		// A client repeats a request with a nonce that has expired.
		if has.reason() != "badNonce" {
			t.problems.add(has.reason(), fmt.Sprintf("status %d: %s", answer.StatusCode, has.Detail))
		}
		return
	}
	for _, c := range has.Challenges {
		if c.Error == nil {
			continue
		}
		if t.problems.first(c.URL) {
			t.problems.add(c.Error.reason(), c.Error.Detail)
		}
	}
}
