package limit

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Transport makes HTTP calls at a rate. A call that would wait longer than MaxWait fails with a *LaterError. When the remote API responds
// with 429 or 503 and a Retry-After, no call under the key is made until then.
type Transport struct {
	Base    http.RoundTripper
	Limiter Limiter
	Key     string
	Rate    Rate
	MaxWait time.Duration
	// Circuit stops the calls while the remote API returns only errors: a call that finds it open fails with a *LaterError, like a call
	// over the rate. nil for no breaker.
	Circuit *Breaker
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pass, err := t.enter(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the request's body, also when it fails
		}
		return nil, err
	}
	response, err := t.Base.RoundTrip(r)
	pass.End(judge(r.Context(), response, err))
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
		if named := RetryAfter(response.Header, time.Now()); named > 0 {
			// If the pause cannot be stored, the only cost is one more refused call.
			_ = t.Limiter.Pause(context.WithoutCancel(r.Context()), t.Key, min(named, longestRetryAfter))
		}
	}
	return response, nil
}

// enter waits for the call's slot.
func (t Transport) enter(ctx context.Context) (pass Pass, err error) {
	if t.Circuit != nil {
		var wait time.Duration
		if pass, wait = t.Circuit.Begin(); wait > 0 {
			return Pass{}, &LaterError{After: wait, Circuit: true}
		}
	}
	if err := Wait(ctx, t.Limiter, t.Key, t.Rate, t.MaxWait); err != nil {
		pass.End(Inconclusive, "")
		return Pass{}, err
	}
	return pass, nil
}

// judge returns the result of a call for the breaker. No response and 5xx are failures, unless the caller cancelled or the response has a
// Retry-After.
func judge(ctx context.Context, response *http.Response, err error) (r Result, reason string) {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return Inconclusive, ""
	case err != nil:
		return Failure, "no-response"
	case response.StatusCode >= http.StatusInternalServerError && RetryAfter(response.Header, time.Now()) == 0:
		return Failure, "http-" + strconv.Itoa(response.StatusCode)
	default:
		return Success, ""
	}
}

// longestRetryAfter bounds the time for which a Retry-After can stop calls.
const longestRetryAfter = 10 * time.Minute

// RetryAfter reads the Retry-After header: seconds, or an HTTP date (RFC 9110 §10.2.3). It returns 0 if there is none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
