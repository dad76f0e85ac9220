package limit

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Transport makes HTTP calls at a rate. A call that would wait longer than Patience fails with a *LaterError. When the
// other side answers 429 or 503 with a Retry-After, nobody calls it until then.
type Transport struct {
	Base     http.RoundTripper
	Limiter  Limiter
	Key      string
	Rate     Rate
	Patience time.Duration
	// Circuit stops the calls while the other side gives nothing but errors: a call that finds it open fails with a
	// *LaterError, as one over the rate does. nil for none.
	Circuit *Breaker
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pass, err := t.enter(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a transport closes what it was given, also when it fails
		}
		return nil, err
	}
	answer, err := t.Base.RoundTrip(r)
	pass.End(judge(r.Context(), answer, err))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		if named := RetryAfter(answer.Header, time.Now()); named > 0 {
			// It is advice: a limiter that cannot be told costs one more refused call.
			_ = t.Limiter.Pause(context.WithoutCancel(r.Context()), t.Key, min(named, longestRetryAfter))
		}
	}
	return answer, nil
}

// enter waits for the call's place.
func (t Transport) enter(ctx context.Context) (pass Pass, err error) {
	if t.Circuit != nil {
		var wait time.Duration
		if pass, wait = t.Circuit.Begin(); wait > 0 {
			return Pass{}, &LaterError{After: wait, Circuit: true}
		}
	}
	if err := Wait(ctx, t.Limiter, t.Key, t.Rate, t.Patience); err != nil {
		pass.End(Nothing, "")
		return Pass{}, err
	}
	return pass, nil
}

// judge is what a call says about the other side: no response and 5xx are failures, unless we ended the call ourselves, or it
// says when to come again.
func judge(ctx context.Context, answer *http.Response, err error) (r Result, reason string) {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return Nothing, ""
	case err != nil:
		return Fails, "no-answer"
	case answer.StatusCode >= http.StatusInternalServerError && RetryAfter(answer.Header, time.Now()) == 0:
		return Fails, "http-" + strconv.Itoa(answer.StatusCode)
	default:
		return Works, ""
	}
}

// longestRetryAfter bounds what a Retry-After can do to everybody else's calls.
const longestRetryAfter = 10 * time.Minute

// RetryAfter reads the header of that name: seconds, or an HTTP date (RFC 9110 §10.2.3). It is 0 where there is none.
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
