package vonage

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
)

// parts makes a response of Vonage with these statuses.
func parts(statuses ...string) response {
	a := response{written: true, status: http.StatusOK}
	for i, s := range statuses {
		a.parts = append(a.parts, part{status: s, id: "id" + string(rune('1'+i))})
	}
	return a
}

func httpStatus(status int, retryAfter time.Duration) response {
	return response{written: true, status: status, retryAfter: retryAfter, err: errors.New("429 Too Many Requests")}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	const (
		soon  = 750 * time.Millisecond // the backoff's first second, less its spread
		pause = 45 * time.Second       // the delay of a held message
	)
	for _, test := range []struct {
		name     string
		response response
		kind     stage.Kind
		wait     time.Duration // of a retry
		reason   string
		sent     notification.Receipt
	}{
		{name: "taken", response: parts("0"), kind: "done", sent: notification.Receipt{Reference: "id1", Parts: 1}},
		{name: "accepted in three parts", response: parts("0", "0", "0"), kind: "done", sent: notification.Receipt{Reference: "id1", Parts: 3}},
		{name: "mixed", response: parts("9", "0"), kind: "done", sent: notification.Receipt{Reference: "id2", Parts: 2, Reason: "some-parts-refused", Fault: outcome.Operator, PartsRefused: "1"}},
		{name: "mixed with an unknown part", response: parts("0", "5"), kind: "done", sent: notification.Receipt{Reference: "id1", Parts: 2, Reason: "some-parts-refused", Fault: outcome.Provider, PartsRefused: "2"}},

		{name: "throttled", response: parts("1"), kind: "retry", wait: soon, reason: "throttled"},
		{name: "too many binds", response: parts("10"), kind: "retry", wait: soon, reason: "too-many-binds"},
		{name: "internal error", response: parts("5"), kind: "retry", wait: soon, reason: "internal-error"},
		{name: "refused, with an unknown part", response: parts("6", "5"), kind: "retry", wait: soon, reason: "internal-error"},
		{name: "credentials", response: parts("4"), kind: "retry", wait: pause, reason: "bad-credentials"},
		{name: "account barred", response: parts("8"), kind: "retry", wait: pause, reason: "account-barred"},
		{name: "no credit", response: parts("9", "9"), kind: "retry", wait: pause, reason: "quota-exceeded"},
		{name: "missing parameters", response: parts("2"), kind: "retry", wait: pause, reason: "missing-parameters"},
		{name: "invalid parameters", response: parts("3"), kind: "retry", wait: pause, reason: "invalid-parameters"},
		{name: "not HTTP-enabled", response: parts("11"), kind: "retry", wait: pause, reason: "account-not-http-enabled"},
		{name: "signature", response: parts("14"), kind: "retry", wait: pause, reason: "bad-signature"},
		{name: "sender", response: parts("15"), kind: "retry", wait: pause, reason: "invalid-sender"},
		{name: "callback URL", response: parts("23"), kind: "retry", wait: pause, reason: "bad-callback-url"},
		{name: "a demo account's list", response: parts("29"), kind: "retry", wait: pause, reason: "number-not-allowed"},
		{name: "signature and secret", response: parts("32"), kind: "retry", wait: pause, reason: "signature-and-secret"},
		{name: "number barred", response: parts("7"), kind: "give-up", reason: "number-barred"},
		{name: "deactivated", response: parts("33"), kind: "give-up", reason: "number-deactivated"},
		{name: "an unlisted status", response: parts("99"), kind: "give-up", reason: "status-unknown"},
		{name: "no status", response: parts(""), kind: "retry", wait: soon, reason: "answer-unreadable"},

		{name: "unreadable", response: httpStatus(200, 0), kind: "retry", wait: soon, reason: "answer-unreadable"},
		{name: "429", response: httpStatus(429, 0), kind: "retry", wait: soon, reason: "http-429"},
		{name: "429 with Retry-After", response: httpStatus(429, 90*time.Second), kind: "retry", wait: 90 * time.Second, reason: "http-429"},
		{name: "429 with a year", response: httpStatus(429, 365*24*time.Hour), kind: "retry", wait: time.Hour, reason: "http-429"},
		{name: "503 with Retry-After", response: httpStatus(503, 7*time.Second), kind: "retry", wait: 7 * time.Second, reason: "http-503"},
		{name: "500", response: httpStatus(500, 0), kind: "retry", wait: soon, reason: "http-500"},
		{name: "401", response: httpStatus(401, 0), kind: "retry", wait: pause, reason: "http-401"},
		{name: "redirect", response: httpStatus(302, 0), kind: "retry", wait: pause, reason: "http-302"},
		{name: "400", response: httpStatus(400, 0), kind: "give-up", reason: "http-400"},
		{name: "402", response: httpStatus(402, 0), kind: "retry", wait: pause, reason: "http-402"},
		{name: "407, of a proxy", response: httpStatus(407, 0), kind: "retry", wait: pause, reason: "http-407"},
		{name: "408", response: httpStatus(408, 0), kind: "retry", wait: soon, reason: "http-408"},

		{name: "nothing written", response: response{err: errors.New("refused")}, kind: "retry", wait: soon, reason: "unreachable"},
		{name: "no response", response: response{written: true, err: errors.New("EOF")}, kind: "retry", wait: soon, reason: "no-answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			receipt, err := test.response.outcome()
			policy := flow.StageNamed(flow.SMSSender).Policy
			v := stage.Decide(err, 1, policy)
			if last := stage.Decide(err, policy.MaxAttempts, policy); test.wait == pause && last.Kind != "retry" {
				t.Errorf("a failure that the operator must fix is given up after %d attempts", policy.MaxAttempts)
			}
			if v.Kind != test.kind || v.Delay != test.wait || receipt != test.sent {
				t.Errorf("decision %s after %v, receipt %+v, %v", v.Kind, v.Delay, receipt, err)
			}
			if outcome.Of(err).Cause() != test.reason {
				t.Errorf("error %v, want reason %q", err, test.reason)
			}
		})
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		response response
		want     time.Duration
	}{
		{"taken", parts("0"), 0},
		{"no credit", parts("9"), 0},
		{"throttled", parts("1"), time.Second},
		{"too many binds", parts("10"), time.Second},
		{"throttled in the middle", parts("0", "1"), time.Second},
		{"429", httpStatus(429, 0), time.Second},
		{"429 with Retry-After", httpStatus(429, 7*time.Second), 7 * time.Second},
		{"429 with a year", httpStatus(429, 365*24*time.Hour), 10 * time.Minute},
		{"503", httpStatus(503, 0), 0}, // the server may be down
		{"503 with Retry-After", httpStatus(503, 7*time.Second), 7 * time.Second},
		{"no response", response{written: true, err: errors.New("EOF")}, 0},
	} {
		if got := test.response.pause(); got != test.want {
			t.Errorf("%s: a pause of %v, want %v", test.name, got, test.want)
		}
	}
}

func TestThePriceOfAMessageIsThatOfItsParts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prices []string
		want   string
	}{
		{[]string{"0.03330000"}, "0.03330000"}, {[]string{"0.1", "0.25"}, "0.35"}, {[]string{"1", "2"}, "3"}, {[]string{"0.0333", ""}, ""},
		{nil, ""}, {[]string{"-1"}, ""}, {[]string{"1e9"}, ""}, {[]string{"0.0333 EUR"}, ""},
	} {
		r := response{written: true, status: http.StatusOK}
		for _, price := range c.prices {
			r.parts = append(r.parts, part{status: sent, id: "1", price: price})
		}
		receipt, _ := r.outcome()
		if receipt.Price != c.want {
			t.Errorf("%q: %q, want %q", c.prices, receipt.Price, c.want)
		}
	}
}
