package vonage

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// response is the result of one call.
type response struct {
	written    bool          // the whole request was sent
	status     int           // HTTP; 0 if no response came
	retryAfter time.Duration // the header; 0 if there is none
	parts      []part        // of a response that could be read
	err        error
}

// part is Vonage's report about one part of the message.
type part struct {
	status string
	id     string // message-id
	price  string // message-price, in the account's currency
}

// Statuses of a part that concern the whole message, or all messages.
const (
	sent          = "0"
	throttled     = "1"
	internalError = "5" // the part may have been sent
	tooManyBinds  = "10"
)

// outcome converts a response to a receipt, or to an error that decides the next step. It is pure, so that a table can test it.
func (r response) outcome() (notification.Receipt, error) {
	switch {
	case len(r.parts) > 0:
		return outcomeOfParts(r.parts)
	case !r.written && r.status == 0:
		return notification.Receipt{}, outcome.Down(passes("unreachable", telemetry.WithoutURL(r.err)))
	case r.status == 0:
		return notification.Receipt{}, outcome.Down(unclear("no-answer", telemetry.WithoutURL(r.err)))
	case r.status >= 200 && r.status < 300:
		// The SDK's error could quote the response, which contains the number.
		return notification.Receipt{}, unclear("answer-unreadable", nil)
	default:
		return notification.Receipt{}, outcomeOfHTTP(r.status, r.retryAfter)
	}
}

// outcomeOfHTTP converts a status outside 2xx if the body has no statuses of Vonage's own. A server that fails during the call, or a proxy
// that lost its server, may have accepted the message. A server that sends Retry-After has not accepted it.
func outcomeOfHTTP(status int, retryAfter time.Duration) error {
	cause, err := fmt.Sprintf("http-%d", status), errors.New(http.StatusText(status))
	switch {
	case retryAfter > 0 && (status == http.StatusTooManyRequests || status >= 500):
		return outcome.RetryAfter(min(retryAfter, longestWait), passes(cause, err))
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return passes(cause, err)
	case status == http.StatusServiceUnavailable:
		return outcome.Down(passes(cause, err))
	case status >= 500:
		return outcome.Down(unclear(cause, err))
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status < 400,
		status == http.StatusPaymentRequired, status == http.StatusProxyAuthRequired:
		return accountHeld(cause, err) // the secret, the base URL or a proxy is wrong, or a bill is unpaid
	default: // the request was made by this program
		return outcome.Refused(outcome.Ours, cause, err)
	}
}

// outcomeOfParts converts the statuses of all parts. If one part was accepted, the message counts as sent, because a second attempt would
// send that part twice.
func outcomeOfParts(parts []part) (notification.Receipt, error) {
	receipt := notification.Receipt{Parts: uint32(len(parts))}
	accepted, refused := 0, ""
	var numbers, prices []string
	for i, p := range parts {
		if p.status != sent {
			numbers = append(numbers, strconv.Itoa(i+1))
		}
		switch p.status {
		case sent:
			accepted++
			receipt.Reference = cmp.Or(receipt.Reference, p.id)
			prices = append(prices, p.price)
		case internalError: // one part that may have been sent decides the outcome of all
			refused = internalError
		default:
			refused = cmp.Or(refused, p.status)
		}
	}
	receipt.Price = total(prices)
	switch accepted {
	case len(parts):
		return receipt, nil
	case 0:
		return notification.Receipt{}, outcomeOfStatus(refused)
	default:
		receipt.Reason, receipt.PartsRefused = "some-parts-refused", strings.Join(numbers, ",")
		receipt.Fault = outcome.Of(outcomeOfStatus(refused)).Fault()
		return receipt, nil
	}
}

// decimal matches a price. It is longer than any of Vonage's.
var decimal = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})?$`)

// total returns the sum of the parts' prices, or an empty text if one of them is missing or is no number. It calculates without rounding.
func total(prices []string) string {
	sum, digits := new(big.Rat), 0
	for _, price := range prices {
		if !decimal.MatchString(price) {
			return ""
		}
		one, ok := new(big.Rat).SetString(price)
		if !ok {
			return ""
		}
		_, fraction, _ := strings.Cut(price, ".")
		sum, digits = sum.Add(sum, one), max(digits, len(fraction))
	}
	if len(prices) == 0 {
		return ""
	}
	return sum.FloatString(digits)
}

// refusal converts one of Vonage's statuses.
type refusal struct {
	cause string
	means func(cause string, err error) error
}

// refusals is Vonage's table of statuses (sms.yml 1.0.10 and its error page). An unlisted status is permanent too. Some statuses that the
// operator must fix (2, 3, 15, 23 and 29) depend on the message: on its sender, its country, or a demo account's list. Another message may be
// accepted. The other statuses refuse every message of the account.
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
	"12":          {"message-too-long", ofTemplate},
	"14":          {"bad-signature", accountHeld},
	"15":          {"invalid-sender", reasonHeld},
	"22":          {"bad-network-code", ofRecipient},
	"23":          {"bad-callback-url", reasonHeld},
	"29":          {"number-not-allowed", reasonHeld}, // a demo account's list
	"32":          {"signature-and-secret", accountHeld},
	"33":          {"number-deactivated", ofRecipient},
}

// passes returns a temporary failure: the message was not accepted.
func passes(cause string, err error) error { return outcome.Failure(outcome.Provider, cause, err) }

// unclear returns a failure after which the message may have been accepted.
func unclear(cause string, err error) error { return outcome.Unknown(passes(cause, err)) }

// accountHeld returns a failure that the operator must fix, and that affects every message.
func accountHeld(cause string, err error) error {
	return outcome.NeedsOperator(outcome.Account, cause, err)
}

// reasonHeld returns a failure that the operator must fix, and that another message may not have.
func reasonHeld(cause string, err error) error {
	return outcome.NeedsOperator(outcome.Reason, cause, err)
}

// ofRecipient returns a permanent failure of the number or its owner.
func ofRecipient(cause string, err error) error {
	return outcome.Refused(outcome.Recipient, cause, err)
}

// ofTemplate returns a permanent failure of a template: a built-in text has ten parts at most.
func ofTemplate(cause string, err error) error { return outcome.Refused(outcome.Operator, cause, err) }

func outcomeOfStatus(status string) error {
	if status == "" {
		return unclear("answer-unreadable", nil)
	}
	err := fmt.Errorf("vonage status %.8q", status)
	if r, ok := refusals[status]; ok {
		return r.means(r.cause, err)
	}
	return outcome.Refused(outcome.Provider, "status-unknown", err)
}

// longestWait limits the Retry-After of one message, so that a response cannot delay a signer's link for a week.
const longestWait = time.Hour

// pause returns the time for which no replica may call after this response; 0 for no pause.
func (r response) pause() time.Duration {
	asked := r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable && r.retryAfter > 0 ||
		slices.ContainsFunc(r.parts, func(p part) bool { return p.status == throttled || p.status == tooManyBinds })
	if !asked {
		return 0
	}
	return min(cmp.Or(r.retryAfter, usualPause), longestPause)
}

const (
	usualPause   = time.Second      // Vonage counts the calls of each second
	longestPause = 10 * time.Minute // the limit of the effect of one response on all other messages
)
