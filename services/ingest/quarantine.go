package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/telemetry"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The headers of a quarantined callback or item of a batch.
const (
	HeaderSource       = quarantine.HeaderSource
	HeaderProvider     = quarantine.HeaderProvider
	HeaderMethod       = quarantine.HeaderMethod
	HeaderRoute        = quarantine.HeaderRoute
	HeaderQueryBytes   = quarantine.HeaderQueryBytes
	HeaderQuery        = quarantine.HeaderQuery
	HeaderHeader       = quarantine.HeaderHeader
	HeaderVerification = quarantine.HeaderVerification
	HeaderReceivedAt   = quarantine.HeaderReceivedAt
	HeaderReason       = quarantine.HeaderReason
	HeaderDetail       = quarantine.HeaderDetail
	HeaderItem         = quarantine.HeaderItem
	HeaderKey          = quarantine.HeaderKey
	HeaderFingerprint  = quarantine.HeaderFingerprint
	HeaderRedacted     = quarantine.HeaderRedacted
	HeaderCallback     = quarantine.HeaderCallback
)

// maxHeaders bounds the stored request headers, in bytes. The server accepts 64 KiB of headers in total.
const maxHeaders = 16 << 10

// KeptContent returns the body and the query of a quarantined callback.
func KeptContent(h nats.Header, payload []byte) (body []byte, query string) {
	return quarantine.Content(h, payload)
}

// quarantineMessage returns the message that stores an unreadable callback or item until a later version or an operator's repair can read it.
// The same callback always has the same id.
func quarantineMessage(u unreadable, src source) (*nats.Msg, error) {
	r := u.request
	query, _ := src.secrets.RedactAll(r.RawQuery)
	kept, redacted := headerToKeep(r.Header, append([]string{"User-Agent"}, src.headersToKeep()...), src.secrets)
	fields := http.Header{}
	for _, h := range kept {
		fields[h.GetName()] = append(fields[h.GetName()], h.GetValue())
	}
	header, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	body, found := src.secrets.RedactBody(r.Body)
	redacted = redacted || found || r.Method == http.MethodGet && query != r.RawQuery

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
			HeaderVerification: {strconv.Itoa(int(u.verified.By))},
			HeaderKey:          {u.verified.Key.Setting},
			HeaderReceivedAt:   {r.ReceivedAt.Format(time.RFC3339Nano)},
			HeaderReason:       {u.why.Reason},
			HeaderDetail:       {u.why.Detail},
		},
		Data: body,
	}
	for name, text := range map[string]string{HeaderFingerprint: u.verified.Key.Fingerprint, HeaderCallback: u.callback} {
		if text != "" {
			msg.Header.Set(name, text)
		}
	}
	if redacted {
		msg.Header.Set(HeaderRedacted, "true")
	}
	if r.Method == http.MethodGet && query != "" {
		msg.Data = append(slices.Clip(body), query...)
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

// headersToKeep lists the request headers that are stored: how to read the body, and its signature. Other headers come from proxies and may
// repeat the query or the caller's address, and a token must not be stored.
func (src source) headersToKeep() []string { return src.headers }

// headerToKeep returns the named request headers, without the source's credentials, and reports whether one of them differs from the received
// one. If they are larger than maxHeaders, it returns only the type of the body: packs read only short headers, and larger ones come from proxies.
func headerToKeep(all http.Header, names []string, secrets pack.Secrets) (kept []*signingv1.Header, redacted bool) {
	size := 0
	for _, name := range names {
		for _, value := range all[name] {
			text, found := secrets.RedactAll(value)
			if name == "User-Agent" {
				text = telemetry.Mask(text)
			}
			if !utf8.ValidString(text) {
				text, found = strings.ToValidUTF8(text, "\uFFFD"), true
			}
			kept, redacted, size = append(kept, &signingv1.Header{Name: name, Value: text}), redacted || found, size+len(name)+len(text)
		}
	}
	if size <= maxHeaders {
		return kept, redacted
	}
	media, _, _ := mime.ParseMediaType(all.Get("Content-Type"))
	return []*signingv1.Header{{Name: "Content-Type", Value: media}}, true
}
