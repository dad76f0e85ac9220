// Package pack says what a provider is to the rest of the house. One folder beside it is one provider's pack; the
// services know packs only by what stands here.
package pack

import (
	"crypto/rsa"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Pack is everything about one provider.
type Pack struct {
	// Name is the provider's name in settings, URLs and subjects: [a-z0-9-].
	Name string
	// Doors are the paths under /webhooks/<provider>/<source> that its callbacks come to.
	Doors []Door
	// Webhook is the pure half for one source. It fails when the source's settings cannot authenticate anything, and
	// says which key to set.
	Webhook func(config.Source) (Webhook, error)
	// API is the REST half for one source. The client brings transport, timeouts and the source's rate limit.
	API func(config.Source, *http.Client) (API, error)
	// PerMinute is how many REST calls a minute the provider lets a source make, where the settings do not say.
	PerMinute int
	// Sign makes a request authentic for a source, as the provider does: for samples, stories and tests. Only providers that
	// sign with a private key use key.
	Sign func(src config.Source, key *rsa.PrivateKey, r Request) (Request, error)
	// Delivery names the fields that describe a callback's delivery and not the fact: a retry may change them.
	Delivery []string
	// Samples are recorded callbacks, <name>.http: a request line, headers, an empty line, the body.
	Samples fs.FS
}

// Door is one path that a provider calls.
type Door struct {
	Path         string   // below the source: "" or "/all"
	Methods      []string // POST, GET
	ContentTypes []string // media types taken with a body; a request without a Content-Type is taken too
}

// Request is one callback, its parts kept apart: a value in the query is never a header, nor the reverse.
type Request struct {
	Method     string
	Door       string // the Door's Path
	Header     http.Header
	Query      url.Values
	RawQuery   string // the query as it came
	Body       []byte // the raw bytes, as they came
	ReceivedAt time.Time

	// Item is the place, from 0, of the item of a batch that Body is; nil for a whole callback. See Batches.
	Item *int
	// Beside holds the fields of a batch that belong to none of its items. The first item carries them.
	Beside url.Values
}

// Webhook is the pure half of a pack: no network, no clock, so a recorded request is a complete test.
type Webhook interface {
	// Verify says what vouches for the request, over its raw bytes and in constant time. Anything else is
	// ErrUnauthentic; never does a missing secret verify.
	Verify(Request) (signingv1.Verification, error)

	// Normalize reads an authentic request into canonical events, in the order in which they happened, with their ids.
	// An unknown type comes back as other.recorded. What nobody can read is an *UnreadableError, and is quarantined; what tells of
	// nothing is ErrNothing. No events without an error would be a fact lost.
	Normalize(Request, signingv1.Verification) ([]*signingv1.SigningEvent, error)
}

// Batches is a Webhook whose callbacks may hold several items. Each is read and stored, or quarantined, on its own: an
// unreadable item must not hold back the others.
type Batches interface {
	Webhook

	// Items cuts an authentic callback into requests of one item each, in their order, which Normalize then reads. A callback
	// that is no batch has none. Errors are those of Normalize, about the callback as a whole.
	Items(Request) ([]Request, error)

	// Holds reports whether a batch as it was received contains the bytes of an item. Then the authentication of the batch
	// also covers the item.
	Holds(batch, item Request) bool
}

// TimeUnread is the attribute of an event whose callback held a time that has no single reading. Its text names the fields,
// joined by commas. The event also carries these fields unchanged.
const TimeUnread = "signrelay.time_unread"

// OlderThanLog is the attribute of an event of which the log may have forgotten an earlier copy: its own time is older than what
// the log keeps. Nobody gets a message about it (docs/adr/0018).
const OlderThanLog = "signrelay.older_than_log"

// ErrUnauthentic means that a request could not be authenticated. Wrap it with a reason that contains nothing of the request.
var ErrUnauthentic = errors.New("not authentic")

// ErrNothing means that an authentic request was read and tells of nothing: a batch without changes. It is accepted, and
// nothing is stored.
var ErrNothing = errors.New("nothing happened")

// UnreadableError means that an authentic request could not be read. Reason is bounded (it becomes a metric's label and a
// subject's token, [a-z0-9-]{1,40}); Detail is for the operator and holds nothing personal.
type UnreadableError struct {
	Reason string // "not-json", "id-missing", "not-a-form"
	Detail string // what is wrong and where, e.g. `field "id" is missing`
}

func (u *UnreadableError) Error() string { return u.Reason + ": " + u.Detail }
