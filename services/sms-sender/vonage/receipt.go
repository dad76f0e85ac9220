package vonage

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

var errFields = errors.New("want a messageId and a status")

// longestPart is four times the current length of a messageId.
const longestPart = 64

// readReceipt reads a receipt's parameters. now is its time if the parameters have none.
func readReceipt(p map[string]string, now time.Time) (gateway.DeliveryReceipt, error) {
	r := gateway.DeliveryReceipt{Reference: p["client-ref"], Part: p["messageId"], Status: gateway.Status(p["status"]), At: timeOf(p, now)}
	if r.Part == "" || len(r.Part) > longestPart || r.Status == "" {
		return gateway.DeliveryReceipt{}, errFields
	}
	if !slices.Contains(gateway.Statuses, r.Status) { // gateway.Status has Vonage's names
		r.Status = gateway.Other
	}
	if r.Status.Lost() {
		r.Reason = reasonOf(p["err-code"], string(r.Status))
		r.Fault = faultOf(r.Reason)
	}
	return r, nil
}

// timeOf returns the time of the change, in UTC: message-timestamp has seconds, scts has minutes.
func timeOf(p map[string]string, now time.Time) time.Time {
	if at, err := time.Parse(time.DateTime, p["message-timestamp"]); err == nil {
		return at
	}
	if at, err := time.Parse("0601021504", p["scts"]); err == nil {
		return at
	}
	return now
}

// reasons is Vonage's table of err-code (its support article 204014733). If the article recommends a retry, it means another message.
var reasons = map[string]string{
	"2":  "absent-subscriber", // temporary: switched off, or out of reach
	"3":  "absent-subscriber-permanent",
	"4":  "barred", // by the recipient
	"5":  "portability-error",
	"6":  "spam-rejected",
	"7":  "handset-busy",
	"8":  "network-error",
	"9":  "illegal-number", // the recipient does not want this service
	"10": "illegal-message",
	"11": "unroutable",
	"12": "unreachable",
	"13": "age-restricted",
	"14": "carrier-blocked",
}

var errorCode = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)

// reasonOf returns why a part did not arrive: by its code, or by its status if the code has no information (0, "unknown", none).
func reasonOf(code, status string) string {
	reason, known := reasons[code]
	switch {
	case known:
		return reason
	case code != "1" && errorCode.MatchString(code):
		return "error-" + code
	default:
		return status
	}
}

// faultOf returns the party at fault for a reason.
func faultOf(reason string) outcome.Fault {
	switch reason {
	case "spam-rejected", "illegal-message", "carrier-blocked": // the sender id, or the content of the text
		return outcome.Operator
	case "absent-subscriber", "absent-subscriber-permanent", "barred", "portability-error", "handset-busy", "illegal-number", "unreachable", "age-restricted":
		return outcome.Recipient
	default:
		return outcome.Provider
	}
}
