package smssender

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
)

// receipt is Vonage's word on what became of one part of a message.
type receipt struct {
	reference string // client-ref: the notification's id; empty for a text that is none of ours
	part      string // messageId
	status    string // one of statuses
	reason    string // why a part did not arrive; bounded
	at        time.Time
}

// The states of a part that are its last.
const (
	delivered = "delivered"
	expired   = "expired"
	failed    = "failed"
	rejected  = "rejected"
)

// statuses of a part: the last ones, and those on the way. What is none of them is "other".
var statuses = []string{delivered, expired, failed, rejected, "accepted", "buffered", "unknown", other}

const other = "other"

var errFields = errors.New("want a messageId and a status")

// longestPart is four times what a messageId is today.
const longestPart = 64

// readReceipt reads a receipt's parameters. Its time is its own, and now only where it brings none.
func readReceipt(p map[string]string, now time.Time) (receipt, error) {
	r := receipt{reference: p["client-ref"], part: p["messageId"], status: p["status"], at: timeOf(p, now)}
	if r.part == "" || len(r.part) > longestPart || r.status == "" {
		return receipt{}, errFields
	}
	if !slices.Contains(statuses, r.status) {
		r.status = other
	}
	if lost(r.status) {
		r.reason = reasonOf(p["err-code"], r.status)
	}
	return r, nil
}

// lost tells whether a part did not arrive and never will.
func lost(status string) bool { return status == expired || status == failed || status == rejected }

// final tells whether a part's state is its last.
func final(status string) bool { return status == delivered || lost(status) }

// timeOf is when it happened, in UTC: message-timestamp to the second, else scts to the minute.
func timeOf(p map[string]string, now time.Time) time.Time {
	if at, err := time.Parse(time.DateTime, p["message-timestamp"]); err == nil {
		return at
	}
	if at, err := time.Parse("0601021504", p["scts"]); err == nil {
		return at
	}
	return now
}

// reasons is Vonage's table of err-code (its support article 204014733). Of "retry" there it means: by another message.
var reasons = map[string]string{
	"2":  "absent-subscriber", // for now: switched off, or out of reach
	"3":  "absent-subscriber-permanent",
	"4":  "barred", // by the reader
	"5":  "portability-error",
	"6":  "spam-rejected",
	"7":  "handset-busy",
	"8":  "network-error",
	"9":  "illegal-number", // the reader does not want this service
	"10": "illegal-message",
	"11": "unroutable",
	"12": "unreachable",
	"13": "age-restricted",
	"14": "carrier-blocked",
}

var errorCode = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)

// reasonOf is why a part did not arrive: by its code, and where that says nothing (0, "unknown", none) by its status.
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

// faultOf is whose fault it is that a part did not arrive.
func faultOf(reason string) outcome.Fault {
	switch reason {
	case "spam-rejected", "illegal-message", "carrier-blocked": // the sender id, or what the text says
		return outcome.Operator
	case "absent-subscriber", "absent-subscriber-permanent", "barred", "portability-error", "handset-busy", "illegal-number", "unreachable", "age-restricted":
		return outcome.Recipient
	default:
		return outcome.Provider
	}
}
