package pack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// CheckResult is the result of a second check of a callback's signature.
type CheckResult string

// Results of a second check.
const (
	SignatureValid   CheckResult = "verified"
	SignatureInvalid CheckResult = "does-not-verify"
	NotChecked       CheckResult = "cannot-be-checked"
)

// Check is a second check of a kept callback's signature, with the keys of today.
type Check struct {
	Result CheckResult
	Reason string // for a person: what was checked, or why it could not be
	Then   Key    // the key that verified the callback when it was received
	Now    Key    // the key that verifies it today
}

// SameKey reports whether the key of today is the key of then, also if its place in the settings has changed.
func (c Check) SameKey() bool { return c.Now.Fingerprint == c.Then.Fingerprint }

// ErrNoSource means that the settings no longer have the source of a kept callback.
var ErrNoSource = errors.New("the settings no longer have the source")

// CheckSignature checks the signature of the callback that reported an event; kept is that callback, or nil if the log does not have it. open
// returns the webhook of the event's source. It fails only if open fails, with another error than ErrNoSource.
func CheckSignature(open func() (Webhook, error), e *signingv1.SigningEvent, kept *signingv1.Callback) (Check, error) {
	then := Key{Setting: kept.GetKey(), Fingerprint: kept.GetKeyFingerprint()}
	unchecked := func(format string, args ...any) (Check, error) {
		return Check{Result: NotChecked, Reason: fmt.Sprintf(format, args...), Then: then}, nil
	}
	r := RequestOf(e, kept)
	switch {
	case !event.Carries(kept):
		return unchecked("the callback was not kept")
	case event.CallbackID(e.GetSource(), e.GetProvider(), r.Method, r.Route, r.RawQuery, r.Body) != e.GetCallback().GetId():
		// A signature does not cover each byte: that of esign-v1 covers the decoded text of one field.
		return Check{
			Result: SignatureInvalid, Then: then, Reason: fmt.Sprintf("the %d kept bytes are not those that were received: their hash is not the callback's id", len(r.Body)),
		}, nil
	case then.Setting == "":
		return unchecked("the callback was not authenticated: the settings allowed that")
	case then.Fingerprint == "":
		return unchecked("a shared token authenticated it, which is not kept")
	case kept.GetRedacted():
		return unchecked("a secret of the source was removed from the kept callback")
	}
	webhook, err := open()
	if errors.Is(err, ErrNoSource) {
		return unchecked("the settings no longer have its source")
	}
	if err != nil {
		return Check{}, err
	}
	signed, ok := webhook.(Signed)
	if !ok {
		return unchecked("today's pack of the provider checks no signatures")
	}
	now, err := signed.VerifySignature(r)
	switch {
	case err == nil:
		return Check{Result: SignatureValid, Then: then, Now: now.Key}, nil
	case len(signed.SignatureKeys()) == 0:
		return unchecked("the source has no key for signatures any more")
	case !slices.ContainsFunc(signed.SignatureKeys(), func(key Key) bool { return key.Fingerprint == then.Fingerprint }):
		return unchecked("the key of then is no longer in the settings, and no other key verifies it")
	}
	return Check{ // also if it has no signature any more
		Result: SignatureInvalid, Then: then,
		Reason: fmt.Sprintf("%s; checked %d bytes of the body with %d keys, also with the one that verified it then", err, len(kept.GetBody()), len(signed.SignatureKeys())),
	}, nil
}

// RequestOf returns a kept callback as the request that a pack reads.
func RequestOf(e *signingv1.SigningEvent, kept *signingv1.Callback) Request {
	r := Request{
		Method: kept.GetMethod(), Route: strings.TrimPrefix(kept.GetPath(), "/webhooks/"+e.GetProvider()+"/"+e.GetSource()),
		Header: http.Header{}, RawQuery: kept.GetQuery(), Body: kept.GetBody(), ReceivedAt: e.GetReceivedAt().AsTime(),
	}
	r.Query, _ = ParseForm(r.RawQuery) // the pack reports an invalid query when it reads the callback
	for _, h := range kept.GetHeaders() {
		r.Header[h.GetName()] = append(r.Header[h.GetName()], h.GetValue())
	}
	return r
}
