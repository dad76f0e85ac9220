// Package gateway is the interface between the SMS sender and an SMS vendor. The sender writes the text, takes the rate-limit slot, records
// which receipts to expect, and publishes the events. A Gateway makes the call and reads the vendor's responses and receipts.
//
// Package gatewaytest has the tests that every gateway passes.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Gateway is an SMS vendor. Its errors contain no number, no text and no secret.
type Gateway interface {
	// Name is the vendor's name in metrics, in logs, and in the path of its receipts: [a-z0-9-]+.
	Name() string

	// Settings returns a comparable value that changes when the operator changes the account.
	Settings() any

	// Account returns the account in the current settings. Without an account, its error is an outcome that holds every message.
	Account() (Account, error)

	// Replies reports whether people can reply to a text: the sender is a number and not a name.
	Replies() bool

	// Send makes one call for one message. Its error is an outcome with the fault and with a cause [a-z0-9-]{1,40}. An outcome is unknown
	// only if the whole request was sent. Send calls notification.Left as soon as it was sent. If at least one part was accepted, the message
	// counts as sent, and the receipt lists the refused parts.
	Send(ctx context.Context, m Message) (Response, error)

	// Receipts returns the time within which the receipts of a call may arrive. It fails if the settings have no secret to verify receipts:
	// then no receipt is accepted.
	Receipts() (within time.Duration, err error)

	// Verify reads the fields of a request to the receipts' path. It fails with ErrSignature unless the request has the account's signature,
	// and with another error if the request is malformed. The error's text is for the vendor and contains no value of a field.
	Verify(r *http.Request, body []byte) (map[string]string, error)

	// ReadReceipt reads a receipt from verified fields. now is its time if the fields have none.
	ReadReceipt(fields map[string]string, now time.Time) (DeliveryReceipt, error)

	// ReadText reads a text that a person sent to the account, from verified fields. now is its time if the fields have none.
	ReadText(fields map[string]string, now time.Time) (InboundText, error)
}

// ErrSignature means that a request does not have the account's signature.
var ErrSignature = errors.New("the signature is wrong or missing")

// Account is an account at a vendor.
type Account struct {
	// Key is the key of the account's rate limit, which all replicas share. It must not be secret, because Redis stores it.
	Key string
	// Rate limits the calls of all replicas together.
	Rate limit.Rate
}

// Message is one text to one number.
type Message struct {
	To        string // in E.164 format, with the plus sign
	Text      string
	Unicode   bool   // the text has characters outside the GSM 7-bit alphabet
	Reference string // at most 40 characters; each receipt contains it
	Source    string // the source in the path of its receipts
}

// Response is a vendor's response to a call.
type Response struct {
	Receipt notification.Receipt // of an accepted message
	// Pause is the time for which no replica may call, because the vendor requested fewer calls; 0 for no pause.
	Pause time.Duration
}

// DeliveryReceipt is a vendor's report about one part of a message, after its response to the call.
type DeliveryReceipt struct {
	Reference string // the message's; empty for a text that is not ours
	Part      string // the vendor's id of the part
	Status    Status
	Reason    string        // the reason why a part did not arrive, [a-z0-9-]{1,40}; empty unless Status is lost
	Fault     outcome.Fault // the party at fault
	At        time.Time     // when it happened, in UTC
}

// InboundText is a text that a person sent to the account, or one part of a long text.
type InboundText struct {
	ID   string    // the vendor's id of the text or the part: it is the same in each repetition
	From string    // the person's number, as the vendor writes it
	Text string    // what the person wrote
	At   time.Time // when the vendor received it, in UTC

	// A long text arrives in parts. They have a reference, which a phone uses again for a later text. Parts is 0 or 1 for a text of one part.
	Reference   string
	Part, Parts int // Part is from 1
}

// Status is the status of a part. It is a metric's label.
type Status string

// The statuses of a part.
const (
	Delivered Status = "delivered"
	Expired   Status = "expired"
	Failed    Status = "failed"
	Rejected  Status = "rejected"
	Accepted  Status = "accepted" // on its way, like the following statuses
	Buffered  Status = "buffered"
	Unknown   Status = "unknown"
	Other     Status = "other" // a status that this version does not know
)

// Statuses are all statuses.
var Statuses = []Status{Delivered, Expired, Failed, Rejected, Accepted, Buffered, Unknown, Other}

// Lost reports whether a part did not arrive and will not arrive later.
func (s Status) Lost() bool { return s == Expired || s == Failed || s == Rejected }

// Final reports whether a part's status does not change any more.
func (s Status) Final() bool { return s == Delivered || s.Lost() }
