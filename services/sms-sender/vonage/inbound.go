package vonage

import (
	"errors"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

var (
	errInbound = errors.New("want a messageId, the sender's number in msisdn, and a text")
	errParts   = errors.New("want concat-ref, concat-total from 1 to 255 and concat-part up to it in a part of a long text")
)

// mostParts is the number of parts that the header of a long text can count.
const mostParts = 255

// longestReference is many times the length of a concat-ref, which is a number of 16 bits.
const longestReference = 64

// readText reads the parameters of a text that a person sent. Vonage sends one request for each part of a long text.
func readText(p map[string]string, now time.Time) (gateway.InboundText, error) {
	t := gateway.InboundText{ID: p["messageId"], From: p["msisdn"], Text: p["text"], At: timeOf(p, now)}
	if _, has := p["text"]; t.ID == "" || len(t.ID) > longestPart || t.From == "" || !has {
		return gateway.InboundText{}, errInbound
	}
	if t.At.After(now) { // a later wish of the person must not be older than this one
		t.At = now
	}
	if p["concat"] != "true" {
		return t, nil
	}
	part, err := strconv.Atoi(p["concat-part"])
	total, totalErr := strconv.Atoi(p["concat-total"])
	t.Reference, t.Part, t.Parts = p["concat-ref"], part, total
	if err != nil || totalErr != nil || t.Reference == "" || len(t.Reference) > longestReference || total < 1 || total > mostParts || part < 1 || part > total {
		return gateway.InboundText{}, errParts
	}
	return t, nil
}
