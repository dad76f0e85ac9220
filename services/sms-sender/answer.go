package smssender

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
)

// answer is what came of one call.
type answer struct {
	written    bool          // the whole request left
	status     int           // HTTP; 0 where no answer came
	retryAfter time.Duration // the header; 0 where there is none
	parts      []part        // of an answer that could be read
	err        error
}

// part is Vonage's word on one part of the message.
type part struct {
	status string
	id     string // message-id
}

// Statuses of a part that mean something for the whole message, or for all messages.
const (
	sent          = "0"
	throttled     = "1"
	internalError = "5" // it may have been sent
	tooManyBinds  = "10"
)

// verdict is what an answer means: a receipt, or an error that says what happens next. It is pure, so that a table is
// its test.
func (a answer) verdict() (notification.Receipt, error) {
	switch {
	case len(a.parts) > 0:
		return verdictOfParts(a.parts)
	case !a.written && a.status == 0:
		return notification.Receipt{}, outcome.Down(outcome.Failure(outcome.Provider, "unreachable", withoutURL(a.err)))
	case a.status == 0:
		return notification.Receipt{}, outcome.Down(outcome.Unknown(outcome.Failure(outcome.Provider, "no-answer", withoutURL(a.err))))
	case a.status >= 200 && a.status < 300:
		// The SDK's own words could quote the answer, and that has the number in it.
		return notification.Receipt{}, outcome.Unknown(outcome.Failure(outcome.Provider, "answer-unreadable", nil))
	default:
		return notification.Receipt{}, verdictOfHTTP(a.status, a.retryAfter)
	}
}

// verdictOfHTTP is what a status outside 2xx means, where the body has no statuses of Vonage's own. A server that fails in
// the middle, or a gateway that lost it, may have taken the message first; one that says when to come again has not.
func verdictOfHTTP(status int, retryAfter time.Duration) error {
	reason, cause := fmt.Sprintf("http-%d", status), errors.New(http.StatusText(status))
	switch {
	case retryAfter > 0 && (status == http.StatusTooManyRequests || status >= 500):
		return outcome.RetryAfter(min(retryAfter, longestWait), outcome.Failure(outcome.Provider, reason, cause))
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return outcome.Failure(outcome.Provider, reason, cause)
	case status == http.StatusServiceUnavailable:
		return outcome.Down(outcome.Failure(outcome.Provider, reason, cause))
	case status >= 500:
		return outcome.Down(outcome.Unknown(outcome.Failure(outcome.Provider, reason, cause)))
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status < 400,
		status == http.StatusPaymentRequired, status == http.StatusProxyAuthRequired:
		return outcome.NeedsOperator(outcome.Account, reason, cause) // the secret, the base URL or a proxy is wrong, or a bill unpaid
	default: // of a request that this program made
		return outcome.Refused(outcome.Ours, reason, cause)
	}
}

// verdictOfParts is what the parts' statuses mean together. Once one part was taken the message is on its way: sending
// it again would send that part twice.
func verdictOfParts(parts []part) (notification.Receipt, error) {
	receipt := notification.Receipt{Parts: uint32(len(parts))}
	taken, refused, numbers := 0, "", []string(nil)
	for i, p := range parts {
		if p.status != sent {
			numbers = append(numbers, strconv.Itoa(i+1))
		}
		switch p.status {
		case sent:
			taken++
			receipt.Reference = cmp.Or(receipt.Reference, p.id)
		case internalError: // one part that may have been sent outweighs those that were not
			refused = internalError
		default:
			refused = cmp.Or(refused, p.status)
		}
	}
	switch taken {
	case len(parts):
		return receipt, nil
	case 0:
		return notification.Receipt{}, verdictOfStatus(refused)
	default:
		receipt.Reason, receipt.PartsRefused = "some-parts-refused", strings.Join(numbers, ",")
		receipt.Fault = outcome.Of(verdictOfStatus(refused)).Fault()
		return receipt, nil
	}
}

// refusal is what one of Vonage's statuses means.
type refusal struct {
	reason string
	then   func(reason string, cause error) error
}

// refusals is Vonage's table of statuses (sms.yml 1.0.10 and its error page). An unlisted status is permanent too. Of the
// statuses that the operator must fix, 2, 3, 15, 23 and 29 depend on the message (its sender, its country, a demo account's
// list), and another message may pass. The others refuse every message of the account.
var refusals = map[string]refusal{
	throttled:     {"throttled", passes},
	"2":           {"missing-parameters", reasonHeld},
	"3":           {"invalid-parameters", reasonHeld},
	"4":           {"bad-credentials", accountHeld},
	internalError: {"internal-error", unclear},
	"6":           {"invalid-message", ofRecipient},
	"7":           {"number-barred", ofRecipient},
	"8":           {"account-barred", accountHeld},
	"9":           {"quota-exceeded", accountHeld},
	tooManyBinds:  {"too-many-binds", passes},
	"11":          {"account-not-http-enabled", accountHeld},
	"12":          {"message-too-long", tooLong},
	"14":          {"bad-signature", accountHeld},
	"15":          {"invalid-sender", reasonHeld},
	"22":          {"bad-network-code", ofRecipient},
	"23":          {"bad-callback-url", reasonHeld},
	"29":          {"number-not-allowed", reasonHeld}, // a demo account's list
	"32":          {"signature-and-secret", accountHeld},
	"33":          {"number-deactivated", ofRecipient},
}

// What the statuses mean: it passes, it may have been sent, the operator must act, or nothing helps.
var (
	passes      = func(reason string, cause error) error { return outcome.Failure(outcome.Provider, reason, cause) }
	unclear     = func(reason string, cause error) error { return outcome.Unknown(passes(reason, cause)) }
	accountHeld = func(reason string, cause error) error {
		return outcome.NeedsOperator(outcome.Account, reason, cause)
	}
	reasonHeld = func(reason string, cause error) error {
		return outcome.NeedsOperator(outcome.Reason, reason, cause)
	}
	ofRecipient = func(reason string, cause error) error {
		return outcome.Refused(outcome.Recipient, reason, cause)
	}
	// tooLong is the fault of a template: a text of ours has ten parts at most.
	tooLong = func(reason string, cause error) error { return outcome.Refused(outcome.Operator, reason, cause) }
)

func verdictOfStatus(status string) error {
	if status == "" {
		return outcome.Unknown(outcome.Failure(outcome.Provider, "answer-unreadable", nil))
	}
	r, ok := refusals[status]
	if !ok {
		r = refusal{"status-unknown", func(reason string, cause error) error {
			return outcome.Refused(outcome.Provider, reason, cause)
		}}
	}
	return r.then(r.reason, fmt.Errorf("vonage status %.8q", status))
}

// longestWait bounds what a Retry-After may ask for: no header puts a signer's link off for a week.
const longestWait = time.Hour

// pause is how long nobody is to call after this answer; 0 for no pause.
func (a answer) pause() time.Duration {
	asked := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable && a.retryAfter > 0 ||
		slices.ContainsFunc(a.parts, func(p part) bool { return p.status == throttled || p.status == tooManyBinds })
	if !asked {
		return 0
	}
	return min(cmp.Or(a.retryAfter, usualPause), longestPause)
}

const (
	usualPause   = time.Second      // Vonage counts the calls of each second
	longestPause = 10 * time.Minute // of what one answer can do to everybody else's messages
)

// withoutURL is a failed call's cause, without the URL that net/http puts before it.
func withoutURL(err error) error {
	var call *url.Error
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}
