// Package pack defines the interface between the services and a provider. Each folder beside it is the pack of one provider; the services use packs
// only through the types in this package.
package pack

import (
	"crypto/rsa"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/oauth"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Pack is the definition of one provider.
type Pack struct {
	// Name is the provider's name in settings, URLs and subjects: [a-z0-9-].
	Name string
	// Settings declares the settings of a source that only this provider uses.
	Settings config.SourceDeclared
	// Routes are the routes below /webhooks/<provider>/<source> that receive its callbacks.
	Routes []Route
	// Webhook makes the part without network and clock for one source. It fails if the source's settings cannot authenticate a request; the
	// error names the missing key.
	Webhook func(config.Source) (Webhook, error)
	// API makes the REST client for one source. The client has the transport, the timeouts and the source's rate limit.
	API func(config.Source, *http.Client) (API, error)
	// OAuth returns the application with which the API is called, if the source's settings have one; nil for a provider without OAuth. Its API then
	// sends no credentials of its own.
	OAuth func(config.Source) (app oauth.Application, used bool)
	// Corrects says what the provider's API needs to correct a recipient; nil if it cannot. The API is then a Corrector.
	Corrects *Corrects
	// ResendEvery is the shortest time between two of the provider's own messages to one person that its API sends on request; 0 if it sends none.
	// The API is then a Resender.
	ResendEvery time.Duration
	// PerMinute is the default limit of REST calls a minute for a source.
	PerMinute int
	// Sign authenticates a request as the provider does: for samples and tests. Only providers that sign with a private key use
	// key.
	Sign func(src config.Source, key *rsa.PrivateKey, r Request) (Request, error)
	// Test makes test callbacks, each signed with the source's last secret, one for each route. Each becomes one event endpoint.tested. It fails with
	// ErrOnlyProviderSigns if it can make none.
	Test Tester
	// Paste lists what a person enters at a provider whose API is no Registry. address is the public URL of the source.
	Paste func(src config.Source, address string) []Pasted
	// Unverified returns the setting with which a source accepts callbacks that cannot be verified, and an empty text if the source does not
	// accept them; nil for a provider without such a setting.
	Unverified func(config.Source) string
	// SignatureHeaders names the headers with which the provider signs a callback, in canonical form. They are kept with the callback, so that its
	// signature can be checked again. A header with a shared token is not one of them.
	SignatureHeaders []string
	// Delivery names the fields that describe a callback's delivery and not the fact: a retry may change them.
	Delivery []string
	// Samples are recorded callbacks, <name>.http: a request line, headers, an empty line, the body.
	Samples fs.FS
}

// Route is one route that a provider calls.
type Route struct {
	Path         string   // below the source: "" or "/all"
	Methods      []string // POST, GET
	ContentTypes []string // accepted media types; a request without a Content-Type is accepted too

	// Respond returns the response to an authentic callback whose result is known; nil for ingest's own response. Respond itself is nil
	// for a provider that accepts each 2xx.
	Respond func(Request, Result) *Response
	// Challenge is the request with which the provider verifies the address; nil if it sends none.
	Challenge *Challenge
}

// Request is one callback, with its parts separate: a value in the query is never taken for a header, nor the reverse.
type Request struct {
	Method     string
	Route      string // the Route's Path
	Header     http.Header
	Query      url.Values
	RawQuery   string // the query as received
	Body       []byte // the raw bytes, as received
	ReceivedAt time.Time

	// Item is the index, from 0, in the batch whose item is Body; nil for a whole callback. See Batches.
	Item *int
	// Beside holds the fields of a batch outside its items. The first item carries them.
	Beside url.Values
}

// Webhook is the part of a pack without network and clock, so a recorded request is a complete test.
type Webhook interface {
	// Verify returns how the request was authenticated, computed over its raw bytes and in constant time. Anything else is
	// ErrUnauthentic; a missing secret never verifies.
	Verify(Request) (Verified, error)

	// Normalize turns an authentic request into canonical events, in the order in which they happened, with their ids. An unknown type
	// becomes other.recorded. For an unreadable request it returns an *UnreadableError, and the request is quarantined. For a request that
	// reports nothing it returns ErrNothing. Without an error it returns at least one event: otherwise a fact would be lost.
	Normalize(Request, signingv1.Verification) ([]*signingv1.SigningEvent, error)
}

// Verified says how a request was authenticated.
type Verified struct {
	By  signingv1.Verification
	Key Key // the one of the source's keys that matched; the zero value if the source accepts callbacks without one
}

// Key names a key or a token of a source without revealing it.
type Key struct {
	Setting string // its place in the source's settings: "webhook.secrets[0]"
	// Fingerprint identifies the key also after the settings have changed: "sha256:" and 16 hexadecimal digits. It is empty for a shared
	// token, which a hash would help to guess.
	Fingerprint string
}

// Signed is a Webhook whose callbacks may have a signature over their bytes.
type Signed interface {
	Webhook

	// VerifySignature checks only the signature, with the keys of today: a kept callback has its signature, and never its shared token. It
	// returns ErrUnsigned for a callback without a signature, and if the settings have no key to check one. A wrong signature is
	// ErrUnauthentic.
	VerifySignature(Request) (Verified, error)

	// SignatureKeys names today's keys of signatures.
	SignatureKeys() []Key
}

// ErrUnsigned means that nothing can be checked: the callback has no signature, or the settings have no key for it.
var ErrUnsigned = errors.New("no signature, or no key to check it")

// Batches is a Webhook whose callbacks may hold several items. Each is read and stored, or quarantined, on its own: an
// unreadable item must not hold back the others.
type Batches interface {
	Webhook

	// Items splits an authentic callback into requests with one item each, in their order, for Normalize. A callback that is not a batch has
	// no items. It returns the same errors as Normalize, about the callback as a whole.
	Items(Request) ([]Request, error)

	// Holds reports whether a batch as it was received contains the bytes of an item. Then the authentication of the batch
	// also covers the item.
	Holds(batch, item Request) bool
}

// TimeUnread is the attribute of an event whose callback contained an ambiguous or unreadable time. Its text names the fields,
// joined by commas. The event also carries these fields unchanged.
const TimeUnread = "signrelay.time_unread"

// OlderThanLog is the attribute of an event that is older than the log's retention, so that an earlier copy may have been removed. Such an
// event causes no message (docs/adr/0018).
const OlderThanLog = "signrelay.older_than_log"

// ErrUnauthentic means that a request could not be authenticated. Wrap it with a reason that contains nothing of the request.
var ErrUnauthentic = errors.New("not authentic")

// ErrNothing means that an authentic request is readable and reports nothing: a batch without changes. It is accepted, and nothing is
// stored.
var ErrNothing = errors.New("nothing happened")

// UnreadableError means that an authentic request could not be read. Reason is bounded (it becomes a metric's label and a
// subject's token, [a-z0-9-]{1,40}); Detail is for the operator and contains no personal data.
type UnreadableError struct {
	Reason string // "not-json", "id-missing", "not-a-form"
	Detail string // the mistake and its place, e.g. `field "id" is missing`
}

func (u *UnreadableError) Error() string { return u.Reason + ": " + u.Detail }
