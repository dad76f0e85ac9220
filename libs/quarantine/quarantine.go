// Package quarantine describes the messages of the stream QUARANTINE: authentic callbacks, or items of a batch, that could not be read.
package quarantine

import (
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a quarantined callback or item of a batch. The payload is the body or the item, byte for byte except for the source's secrets,
// followed by the query of a GET, which has its fields there. Both may contain personal data, which a header must not contain.
const (
	HeaderSource       = "Signrelay-Source"
	HeaderProvider     = "Signrelay-Provider"
	HeaderMethod       = "Signrelay-Method"
	HeaderRoute        = "Signrelay-Door"
	HeaderQueryBytes   = "Signrelay-Query-Bytes" // the number of bytes of the query at the payload's end; missing on a POST
	HeaderQuery        = "Signrelay-Query"       // the query, in messages of versions before 2026-12
	HeaderHeader       = "Signrelay-Header"      // JSON
	HeaderVerification = "Signrelay-Verification"
	HeaderReceivedAt   = "Signrelay-Received-At"
	HeaderReason       = "Signrelay-Reason"
	HeaderDetail       = "Signrelay-Detail"
	HeaderItem         = "Signrelay-Item" // the item's index in its batch; missing on a whole callback
	HeaderKey          = "Signrelay-Key"  // the setting of the key that verified it; missing in messages of versions before 2026-12
	HeaderFingerprint  = "Signrelay-Key-Fingerprint"
	HeaderRedacted     = "Signrelay-Redacted" // "true" if a secret of the source was removed
	HeaderCallback     = "Signrelay-Callback" // the id of the callback; missing if the settings keep no callbacks
)

// Content returns the body and the query of a quarantined callback.
func Content(h nats.Header, payload []byte) (body []byte, query string) {
	text := h.Get(HeaderQueryBytes)
	if text == "" {
		return payload, h.Get(HeaderQuery)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > len(payload) {
		return payload, ""
	}
	end := len(payload) - n
	return payload[:end:end], string(payload[end:])
}

// Callback is a quarantined callback in a listing, without its content.
type Callback struct {
	Number   uint64    `json:"number"`
	Received time.Time `json:"received_at"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	Method   string    `json:"method"`
	Item     *int      `json:"item,omitempty"` // its index in its batch; nil if the callback is not an item
	Bytes    int       `json:"bytes"`          // of the body; for a GET, of the query
}

// Describe returns the listing's entry of a message in QUARANTINE.
func Describe(m *jetstream.RawStreamMsg) Callback {
	body, query := Content(m.Header, m.Data)
	k := Callback{
		Number: m.Sequence, Received: m.Time, Source: m.Header.Get(HeaderSource), Provider: m.Header.Get(HeaderProvider),
		Reason: m.Header.Get(HeaderReason), Detail: m.Header.Get(HeaderDetail), Method: m.Header.Get(HeaderMethod), Bytes: len(body),
	}
	if k.Method == http.MethodGet {
		k.Bytes = len(query)
	}
	if item, err := strconv.Atoi(m.Header.Get(HeaderItem)); err == nil {
		k.Item = &item
	}
	return k
}
