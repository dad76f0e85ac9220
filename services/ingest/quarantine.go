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

// Headers of a quarantined callback, or of one item of a batch. Its payload is the body, or the item, byte for byte but for the
// source's secrets, and behind it the query of a GET, whose fields are there: both may name people, whom no header may name.
const (
	HeaderSource       = "Signrelay-Source"
	HeaderProvider     = "Signrelay-Provider"
	HeaderMethod       = "Signrelay-Method"
	HeaderRoute        = "Signrelay-Door"
	HeaderQueryBytes   = "Signrelay-Query-Bytes" // how many bytes at the payload's end are the query; missing on a POST
	HeaderQuery        = "Signrelay-Query"       // the query, in what versions before 2026-12 quarantined
	HeaderHeader       = "Signrelay-Header"      // JSON
	HeaderVerification = "Signrelay-Verification"
	HeaderReceivedAt   = "Signrelay-Received-At"
	HeaderReason       = "Signrelay-Reason"
	HeaderDetail       = "Signrelay-Detail"
	HeaderItem         = "Signrelay-Item" // the item's place in its batch, from 0; missing on a whole callback
)

// longestHeaders bounds the kept request headers, in bytes. The server takes 64 KiB of headers in all.
const longestHeaders = 16 << 10

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

// quarantineMessage is what keeps an unreadable callback or item, so that a later version or an operator's repair brings it in.
// Its id is the same whenever the same callback comes again.
func quarantineMessage(u unreadable, src source) (*nats.Msg, error) {
	r := u.request
	query, _ := src.secrets.RedactAll(r.RawQuery)
	header, err := json.Marshal(headerToKeep(r.Header, src.secrets))
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	if len(header) > longestHeaders {
		// Packs read only short headers. Headers of this size come from proxies.
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
		// All of the batch belongs into its item's id: the same text in the next batch is another fact.
		sum.Write(u.batch.digest())
		place := strconv.Itoa(*r.Item)
		fmt.Fprintf(sum, "@%s", place)
		msg.Header.Set(HeaderItem, place)
	}
	msg.Header.Set("Nats-Msg-Id", hex.EncodeToString(sum.Sum(nil)[:16]))
	return msg, nil
}

// keptHeaders are the request headers that say how a body is read, and who sent it. Others come from proxies, and repeat the query or
// name the caller's address: they are not kept.
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
