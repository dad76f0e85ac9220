package pack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// API is the REST half of a pack: it asks the provider what callbacks do not tell. It calls only the source's base URL,
// whatever a payload says. Its errors are *CallError, unless a method says otherwise.
type API interface {
	// Document asks for one document and its people. It fails with ErrNotOurs where the settings leave the document out.
	Document(ctx context.Context, id string) (*Document, error)

	// Open asks where a link leads right now. What comes back may work for minutes, or once: it is for the person who is
	// waiting for it, and is kept nowhere. Where there is nothing to open, that is a *NotOpenError.
	Open(ctx context.Context, link Link) (*Target, error)
}

// Finder is an API whose provider's callbacks about a person do not say which document he is on.
type Finder interface {
	// DocumentOf asks for the id of the one document that a recipient is on.
	DocumentOf(ctx context.Context, recipient string) (string, error)
}

// ErrNotOurs means that a document is of a group that the source's settings leave out.
var ErrNotOurs = errors.New("the document is of a group that the settings leave out")

// Document is a document as its provider's API tells it.
type Document struct {
	ID         string
	Title      string
	Status     Status
	Sender     Sender      // who sent it; empty where the API does not tell
	Recipients []Recipient // in signing order
}

// Status is how far a document has come.
type Status string

// How far a document can have come; empty where the API does not tell.
const (
	StatusUnknown   Status = ""
	StatusOpen      Status = "open" // signatures are missing
	StatusCompleted Status = "completed"
	StatusDeclined  Status = "declined"
	StatusVoided    Status = "voided" // withdrawn by its sender, or ended without our knowing why
	StatusExpired   Status = "expired"
)

// Sender is who sent a document.
type Sender struct{ Name, Email string }

// Recipient is a person on a document, as the provider's API tells it.
type Recipient struct {
	ID                  string
	FirstName, LastName string
	Email, Mobile       string // as the provider wrote them
	ByEmail, BySMS      bool   // on which channels this person wants to be told
	// NoEmail and NoSMS say why this person must not be told on a channel, whatever he wants; empty where he may.
	NoEmail, NoSMS Undeliverable
	// Order is the person's place where a document is signed in order: who has a greater one may sign only when all with a
	// lesser one have. Where there is no order all have the same.
	Order    int
	Signed   bool // as far as the API tells
	Declined bool // as far as the API tells
	// Invite is true when it is for us to send this person his link, and false when the provider does it himself.
	Invite bool
	// SigningURL and DownloadURL are addresses that stay good, and secrets. They are empty where the provider has only such
	// as go stale: then Open is asked at the click.
	SigningURL, DownloadURL string
}

// Undeliverable is what the provider knows against a channel.
type Undeliverable string

// What a provider can know against a channel.
const (
	OptedOut Undeliverable = "opted-out" // the person wants nothing more on it
	Landline Undeliverable = "landline"  // the number takes no text messages
)

// Purpose is what a link is for.
type Purpose string

// What links are for.
const (
	Sign     Purpose = "sign"     // review and sign
	Download Purpose = "download" // the finished document
)

// Link is what a short link stands for: not an address, but a person's access to a document.
type Link struct {
	Document  string // the provider's id
	Recipient string // the provider's id; empty where it gives its people none
	Purpose   Purpose
}

// Target is where a link leads right now: an address, or where the provider has none that works without our credentials,
// the document itself.
type Target struct {
	URL string // a secret; http or https

	Body        io.ReadCloser // the document where URL is empty; whoever asked closes it
	ContentType string
	Size        int64 // in bytes; -1 where it is not known
}

// NotOpenError means that the provider was asked, and has nothing behind a link now.
type NotOpenError struct {
	Reason NotOpen
	In     time.Duration // when to come again; 0 where nobody knows, or never
}

func (e *NotOpenError) Error() string { return "nothing to open: " + string(e.Reason) }

// NotOpen is why there is nothing behind a link.
type NotOpen string

// Why there can be nothing behind a link.
const (
	AlreadySigned NotOpen = "already-signed" // by this person
	Ended         NotOpen = "ended"          // the document was declined, withdrawn, or its time ran out
	NotYet        NotOpen = "not-yet"        // others sign before, or the document is being fetched from an archive
	Gone          NotOpen = "gone"           // the provider knows no such document or person any more
)

// CallError is a REST call that failed. Its text holds no secret and nothing personal.
type CallError struct {
	Op         string        // "GET request"
	Status     int           // HTTP status; 0 when no answer came
	RetryAfter time.Duration // as the provider named it; 0 where it did not
	Then       Then
	Err        error
}

// Then is what a failed call means for the next one.
type Then int

// What a failed call can mean for the next one.
const (
	Retry  Then = iota // asking again may help
	GiveUp             // asking this again cannot help
	Stop               // the account or a setting is at fault: no call helps until the operator has mended it
)

func (e *CallError) Error() string {
	text := e.Op
	if e.Status != 0 {
		text += ": " + http.StatusText(e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *CallError) Unwrap() error { return e.Err }
