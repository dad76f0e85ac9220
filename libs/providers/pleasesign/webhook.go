package pleasesign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// signatureHeader carries the lower-case hex HMAC-SHA256 of the raw body.
const signatureHeader = "X-Pleasesign-Signature"

// linkLife is the time for which the links of document.complete work: the same time for which a webhook may be retried.
const linkLife = 72 * time.Hour

type webhook struct {
	source  string
	keys    []string
	names   []pack.Key   // of the keys
	secrets pack.Secrets // the keys, to find them in bodies
}

func newWebhook(s config.Source) (pack.Webhook, error) {
	keys := slices.Clone(Settings.Of(s).Webhook.Secrets)
	if len(keys) == 0 {
		return nil, errors.New("webhook.secrets is empty: set it to the webhook's verification key")
	}
	if i := slices.Index(keys, ""); i >= 0 {
		return nil, fmt.Errorf("webhook.secrets[%d] is empty", i)
	}
	w := &webhook{source: s.Name, keys: keys, secrets: pack.NewSecrets(keys...)}
	for i, key := range keys {
		w.names = append(w.names, pack.HMACKey("webhook.secrets", i, key))
	}
	return w, nil
}

// Sign signs a body with a key, as PleaseSign does.
func Sign(key string, body []byte) string { return hex.EncodeToString(sum(key, body)) }

func sum(key string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify compares the signature with that of the body under every key.
func (w *webhook) Verify(r pack.Request) (pack.Verified, error) {
	sent := r.Header.Values(signatureHeader)
	if len(sent) != 1 {
		return pack.Verified{}, fmt.Errorf("%w: %d %s headers, want one", pack.ErrUnauthentic, len(sent), signatureHeader)
	}
	signature := []byte(sent[0])
	for i, key := range w.keys {
		if hmac.Equal(signature, hex.AppendEncode(nil, sum(key, r.Body))) {
			return pack.Verified{By: signingv1.Verification_VERIFICATION_HMAC, Key: w.names[i]}, nil
		}
	}
	return pack.Verified{}, fmt.Errorf("%w: %s is not the body's signature", pack.ErrUnauthentic, signatureHeader)
}

// VerifySignature implements pack.Signed: each callback has a signature.
func (w *webhook) VerifySignature(r pack.Request) (pack.Verified, error) { return w.Verify(r) }

// SignatureKeys implements pack.Signed.
func (w *webhook) SignatureKeys() []pack.Key { return w.names }

// Normalize reads the event of a callback. A document.void is two facts: the document is declined, and its recipient
// declined it.
func (w *webhook) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	fields, err := jsonflat.Parse(r.Body)
	if err != nil {
		return nil, err
	}
	dummy := w.redact(fields)
	e := &signingv1.SigningEvent{
		Source:          w.source,
		Provider:        Name,
		ProviderType:    fields.Take("event"),
		ProviderEventId: fields.TakeID("id"),
		ReceivedAt:      timestamppb.New(r.ReceivedAt),
		Verification:    v,
	}
	switch {
	case e.GetProviderType() == "":
		return nil, missing("event")
	case e.GetProviderEventId() == "":
		return nil, missing("id")
	}
	what, known := types[e.GetProviderType()]
	if !known {
		what = kind{canonical: event.OtherRecorded}
	}
	e.Type = what.canonical
	e.OccurredAt = fields.Time(dates(fields, what.dates)...)
	if dummy {
		e.Type = event.EndpointTested
	}

	if e.GetType() != event.EndpointTested { // the ids of a test belong to no document or recipient
		if id := fields.TakeID("document_id"); id != "" {
			e.Document = &signingv1.Document{Id: id}
		} else if known {
			return nil, missing("document_id")
		}
		e.Recipient = recipient(fields)
	}
	if e.GetType() == event.DocumentCompleted {
		e.Links = takeLinks(fields, e.GetOccurredAt())
	}
	e.Id = identify(e)
	e.Attributes = fields.Attributes()

	events := []*signingv1.SigningEvent{e}
	if e.GetType() == event.DocumentDeclined && e.GetRecipient().GetId() != "" {
		who := proto.CloneOf(e)
		who.Type = event.RecipientDeclined
		who.Id = identify(who)
		events = append(events, who)
	}
	return events, nil
}

func missing(field string) error {
	return &pack.UnreadableError{
		Reason: strings.ReplaceAll(field, "_", "-") + "-missing",
		Detail: fmt.Sprintf("field %q is missing, empty, or neither a string nor a number", field),
	}
}

// redact replaces every value that equals or contains one of the source's keys, and reports whether there was one: PleaseSign's dummy
// webhooks send the verification key too, in a field of any name. A known event name does not count as a key, because a key
// may be a word such as "test".
func (w *webhook) redact(fields *jsonflat.Object) (dummy bool) {
	_, known := types[fields.Peek("event")]
	for name := range fields.Keys() {
		if name == "event" && known {
			continue
		}
		if redacted, found := w.secrets.Redact(fields.Text(name)); found {
			fields.Set(name, redacted)
			dummy = true
		}
	}
	return dummy
}

func recipient(fields *jsonflat.Object) *signingv1.Recipient {
	r := &signingv1.Recipient{
		Id:        fields.TakeID("recipient_id"),
		FirstName: fields.Take("first_name"),
		LastName:  fields.Take("last_name"),
		Email:     fields.TakeID("email"), // "null" is not an address
		Mobile:    fields.TakeID("mobile"),
		Method:    fields.Take("method"),
	}
	if proto.Size(r) == 0 {
		return nil
	}
	return r
}

func takeLinks(fields *jsonflat.Object, completed *timestamppb.Timestamp) []*signingv1.Link {
	var found []*signingv1.Link
	for _, name := range links {
		address := fields.Take(name)
		if address == "" {
			continue
		}
		link := &signingv1.Link{Kind: name, Url: address}
		if completed != nil {
			link.ExpiresAt = timestamppb.New(completed.AsTime().Add(linkLife))
		}
		found = append(found, link)
	}
	return found
}

// dates returns the fields that contain the time of an event: those of its kind, otherwise the only other field *_date. If there are several
// others the right one is unknown: a document also has an expiry date.
func dates(fields *jsonflat.Object, known []string) []string {
	var others []string
	if slices.ContainsFunc(known, fields.Nested) {
		return known
	}
	for name := range fields.Keys() {
		if slices.Contains(known, name) && !jsonflat.Absent(fields.Peek(name)) {
			return known
		}
		if strings.HasSuffix(name, "_date") && !strings.Contains(name, ".") {
			others = append(others, name)
		}
	}
	if len(others) == 1 {
		return others
	}
	return known
}

// identify sets the id of e. PleaseSign's dummy events of all types have the same id, and so have the examples in its documentation. If several
// PleaseSign types map to one canonical type, the PleaseSign name is part of the hash.
func identify(e *signingv1.SigningEvent) string {
	switch {
	case event.HappensOnce(e):
		return event.TransitionID(e)
	case e.GetType() == event.OtherRecorded, e.GetType() == event.EndpointTested:
		return event.OccurrenceOf(e, e.GetProviderType(), e.GetProviderEventId())
	default:
		return event.OccurrenceOf(e, e.GetProviderEventId())
	}
}
