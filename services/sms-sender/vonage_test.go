package smssender_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// vonage imitates the SMS API at the level of HTTP. A test sets its responses by the message's client-ref; it accepts all other
// messages.
type vonage struct {
	*httptest.Server
	t *testing.T

	mu        sync.Mutex
	responses map[string][]http.HandlerFunc // for the calls in their order, then always the last one
	forms     map[string][]url.Values
	calledAt  []time.Time // the time of each call
}

func newVonage(t *testing.T) *vonage {
	t.Helper()
	v := &vonage{t: t, responses: map[string][]http.HandlerFunc{}, forms: map[string][]url.Values{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vonage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/sms/json" || r.ParseForm() != nil {
		v.t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	ref := r.PostForm.Get("client-ref")
	v.mu.Lock()
	v.forms[ref] = append(v.forms[ref], r.PostForm)
	v.calledAt = append(v.calledAt, time.Now())
	response := statuses("0")
	if responses := v.responses[ref]; len(responses) > 0 {
		response = responses[min(len(v.forms[ref]), len(responses))-1]
	}
	v.mu.Unlock()
	response(w, r)
}

func (v *vonage) calls(ref string) []url.Values {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.forms[ref]
}

// times returns the times of the calls, in order.
func (v *vonage) times() []time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calledAt)
}

func responds(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

// statuses returns the API's response with one part for each status.
func statuses(all ...string) http.HandlerFunc {
	var parts []string
	for i, s := range all {
		parts = append(parts, fmt.Sprintf(`{"to":"13175551234","message-id":"0A00000%d","status":%q,"remaining-balance":"3.14","message-price":"0.03","network":"12345","error-text":"of 13175551234"}`, i, s))
	}
	return responds(fmt.Sprintf(`{"message-count":"%d","messages":[%s]}`, len(all), strings.Join(parts, ",")))
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func throttles(retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}
