package limit

import (
	"context"
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
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := Wait(r.Context(), t.Limiter, t.Key, t.Rate, t.Patience); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a transport closes what it was given, also when it fails
		}
		return nil, err
	}
	answer, err := t.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		if named := RetryAfter(answer.Header, time.Now()); named > 0 {
			// It is advice: a limiter that cannot be told costs one more refused call.
			_ = t.Limiter.Pause(context.WithoutCancel(r.Context()), t.Key, min(named, longestPause))
		}
	}
	return answer, nil
}

// longestPause bounds what a Retry-After can do to everybody else's calls.
const longestPause = 10 * time.Minute

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
