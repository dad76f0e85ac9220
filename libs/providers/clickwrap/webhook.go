package clickwrap

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// authHeader carries the token on POST and GET. Clickwrap's settings call it the secret code.
const authHeader = "Pactsafe-Webhook-Token"

type webhook struct {
	source string
	tokens [][sha256.Size]byte // hashed, so that a comparison reveals neither content nor length
	keys   []pack.Key          // their names
}

func newWebhook(s config.Source) (pack.Webhook, error) {
	secrets := Settings.Of(s).Webhook.Secrets
	if len(secrets) == 0 {
		return nil, errors.New("webhook.secrets is empty: set it to the webhook's secret code")
	}
	w := &webhook{source: s.Name}
	for i, secret := range secrets {
		if secret == "" {
			return nil, fmt.Errorf("webhook.secrets[%d] is empty", i)
		}
		w.tokens, w.keys = append(w.tokens, sha256.Sum256([]byte(secret))), append(w.keys, pack.TokenKey("webhook.secrets", i))
	}
	return w, nil
}

// Verify compares the token with every secret, even after a match.
func (w *webhook) Verify(r pack.Request) (pack.Verified, error) {
	sent := r.Header.Values(authHeader)
	if len(sent) != 1 {
		return pack.Verified{}, fmt.Errorf("%w: %d %s headers, want one", pack.ErrUnauthentic, len(sent), authHeader)
	}
	token, match, which := sha256.Sum256([]byte(sent[0])), 0, 0
	for i := range w.tokens {
		equal := subtle.ConstantTimeCompare(token[:], w.tokens[i][:])
		match, which = match|equal, subtle.ConstantTimeSelect(equal, i, which)
	}
	if match == 0 {
		return pack.Verified{}, fmt.Errorf("%w: %s is not the token", pack.ErrUnauthentic, authHeader)
	}
	return pack.Verified{By: signingv1.Verification_VERIFICATION_TOKEN, Key: w.keys[which]}, nil
}

// Normalize reads the one event of a callback.
func (w *webhook) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	fields, err := read(r)
	if err != nil {
		return nil, err
	}
	e := &signingv1.SigningEvent{
		Source:          w.source,
		Provider:        Name,
		ProviderType:    fields.Take("event_type"),
		ProviderEventId: fields.TakeID("id"),
		OccurredAt:      fields.Time("created_time", "updated_time"),
		ReceivedAt:      timestamppb.New(r.ReceivedAt),
		Verification:    v,
	}
	switch {
	case e.GetProviderType() == "":
		return nil, missing("event_type")
	case e.GetProviderEventId() == "":
		return nil, missing("id")
	}
	e.Type = types[e.GetProviderType()]
	if e.GetType() == "" {
		e.Type = event.OtherRecorded
	}

	switch e.GetType() {
	case event.AgreementPublished, event.EndpointTested: // these concern no document and no person
	default:
		if id := fields.TakeID("request"); id != "" {
			e.Document = &signingv1.Document{Id: id}
		} else if strings.HasPrefix(e.GetProviderType(), "request_") {
			return nil, missing("request")
		}
		e.Recipient = recipient(fields)
	}
	e.Agreement = agreement(fields)
	e.Id = identify(e, fields)
	describe(e, fields.Peek("description"))
	e.Attributes = fields.Attributes()
	return []*signingv1.SigningEvent{e}, nil
}

// read reads the fields only from the place that belongs to the method.
func read(r pack.Request) (*jsonflat.Object, error) {
	if r.Method == http.MethodGet {
		return jsonflat.Form(r.Query)
	}
	return jsonflat.Parse(r.Body)
}

func missing(field string) error {
	return &pack.UnreadableError{
		Reason: strings.ReplaceAll(field, "_", "-") + "-missing",
		Detail: fmt.Sprintf("field %q is missing, empty, or neither a string nor a number", field),
	}
}

// recipient returns signer for request_signed, signer_id for activities.
func recipient(fields *jsonflat.Object) *signingv1.Recipient {
	id := fields.TakeID("signer")
	switch {
	case id == "":
		id = fields.TakeID("signer_id")
	case id == fields.Peek("signer_id"):
		fields.Drop("signer_id")
	}
	if id == "" {
		return nil
	}
	return &signingv1.Recipient{Id: id}
}

func agreement(fields *jsonflat.Object) *signingv1.Agreement {
	contract, version := fields.TakeID("contract"), fields.TakeID("version")
	revision, group := fields.TakeID("revision"), fields.TakeID("group")
	if contract+version+revision+group == "" {
		return nil
	}
	return &signingv1.Agreement{Contract: contract, Version: version, Revision: revision, Group: group}
}

// identify sets the id of e (docs/adr/0011). A request can be sent again on purpose, and then it can expire, be signed and be declined again: the
// sending is part of the identity of such facts. Clickwrap documents that a request completes once. An activity outside a request (a
// click-through agreement) has no document: the same person may decline two of them.
func identify(e *signingv1.SigningEvent, fields *jsonflat.Object) string {
	activity := fields.PeekID("activity")
	switch typ := e.GetType(); {
	case typ == event.DocumentSent:
		return event.TransitionID(e, cmp.Or(activity, e.GetProviderEventId()))
	case !event.HappensOnce(e) || e.GetDocument().GetId() == "":
		return occurrence(e)
	case typ == event.DocumentCompleted:
		return event.TransitionID(e)
	case typ == event.RecipientDeclined: // a person accepts or declines each contract of a request
		return event.TransitionID(e, sending(e, fields, activity), e.GetAgreement().GetContract())
	default:
		return event.TransitionID(e, sending(e, fields, activity))
	}
}

// sending identifies one sending of a request by fields of the callback itself: its activity, otherwise the fact's own time, otherwise the
// callback's id. It does not use updated_time, which may change when the callback is retried.
func sending(e *signingv1.SigningEvent, fields *jsonflat.Object, activity string) string {
	if activity != "" {
		return activity
	}
	if t, ok := instant.Parse(fields.Peek("created_time")); ok {
		return t.Format(time.RFC3339Nano)
	}
	return e.GetProviderEventId()
}

func occurrence(e *signingv1.SigningEvent) string {
	if e.GetType() == event.OtherRecorded {
		return event.OccurrenceOf(e, e.GetProviderType(), e.GetProviderEventId())
	}
	return event.OccurrenceOf(e, e.GetProviderEventId())
}
