package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/telemetry"
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
)

// maxHeaders bounds the stored request headers, in bytes. The server accepts 64 KiB of headers in total.
const maxHeaders = 16 << 10

// KeptContent returns the body and the query of a quarantined callback.
func KeptContent(h nats.Header, payload []byte) (body []byte, query string) {
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

// quarantineMessage returns the message that stores an unreadable callback or item until a later version or an operator's repair can read it.
// The same callback always has the same id.
func quarantineMessage(u unreadable, src source) (*nats.Msg, error) {
	r := u.request
	query, _ := src.secrets.RedactAll(r.RawQuery)
	header, err := json.Marshal(headerToKeep(r.Header, src.secrets))
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	if len(header) > maxHeaders {
		// Packs read only short headers. Larger headers come from proxies.
		if header, err = json.Marshal(http.Header{"Content-Type": r.Header.Values("Content-Type")}); err != nil {
			return nil, fmt.Errorf("encode headers: %w", err)
		}
	}
	body, _ := src.secrets.RedactAll(string(r.Body))

	sum := sha256.New()
	for _, part := range []string{src.settings.Provider, src.settings.Name, r.Method, r.Route, query} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	msg := &nats.Msg{
		Subject: flow.QuarantineSubject(src.settings.Name, src.settings.Provider, u.why.Reason),
		Header: nats.Header{
			HeaderSource:       {src.settings.Name},
			HeaderProvider:     {src.settings.Provider},
			HeaderMethod:       {r.Method},
			HeaderRoute:        {r.Route},
			HeaderHeader:       {string(header)},
			HeaderVerification: {strconv.Itoa(int(u.verification))},
			HeaderReceivedAt:   {r.ReceivedAt.Format(time.RFC3339Nano)},
			HeaderReason:       {u.why.Reason},
			HeaderDetail:       {u.why.Detail},
		},
		Data: []byte(body),
	}
	if r.Method == http.MethodGet && query != "" {
		msg.Data = append(msg.Data, query...)
		msg.Header.Set(HeaderQueryBytes, strconv.Itoa(len(query)))
	}
	if r.Item == nil {
		sum.Write(r.Body)
	} else {
		// The item's id contains the digest of the whole batch, because the same text in another batch is another fact.
		sum.Write(u.batch.digest())
		place := strconv.Itoa(*r.Item)
		fmt.Fprintf(sum, "@%s", place)
		msg.Header.Set(HeaderItem, place)
	}
	msg.Header.Set("Nats-Msg-Id", hex.EncodeToString(sum.Sum(nil)[:16]))
	return msg, nil
}

// keptHeaders lists the request headers that are stored: how to read the body, and which program sent it. Other headers come from proxies and
// may repeat the query or the caller's address.
var keptHeaders = []string{"Content-Type", "User-Agent"}

// headerToKeep returns the request headers to keep, without the source's credentials: the quarantine keeps messages for 30 days and
// must not contain credentials.
func headerToKeep(all http.Header, secrets pack.Secrets) http.Header {
	kept := http.Header{}
	for _, name := range keptHeaders {
		for _, value := range all[name] {
			value, _ = secrets.RedactAll(value)
			if name == "User-Agent" {
				value = telemetry.Mask(value)
			}
			kept[name] = append(kept[name], value)
		}
	}
	return kept
}
