package pack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// API is the REST client of a pack: it requests data that callbacks do not contain. It calls only the source's base URL, for any content of a
// payload. A failed call is an outcome of package outcome around a *CallError, unless a method says otherwise: GaveUp if another attempt
// cannot help, Held if every call fails until the operator fixes the account or a setting, Waits if our own limit left no slot, so that the
// provider was not called, and else Failed.
type API interface {
	// Document requests one document and its people. It fails with ErrNotOurs if the settings exclude the document.
	Document(ctx context.Context, id string) (*Document, error)

	// Open requests the current target of a link. The target may work for minutes, or only once, so it must not be stored. If there is
	// nothing to open, the error is a *NotOpenError.
	Open(ctx context.Context, link Link) (*Target, error)
}

// Finder is an API whose provider's callbacks about a person do not contain the document's id.
type Finder interface {
	// DocumentOf requests the id of the one document that a recipient is on.
	DocumentOf(ctx context.Context, recipient string) (string, error)
}

// Filer is an API whose provider has files of completed documents.
type Filer interface {
	// Files lists the files of a document that completed reports. The list needs no call; each File has the calls that get it.
	Files(completed *signingv1.SigningEvent) []File
}

// File is a file of a completed document.
type File struct {
	Kind FileKind
	// From are the ways to get the file, to be tried in this order. Each returns a target with a body, or an address that works without the
	// source's credentials. Its error is one of Open's, or ErrNotOurs.
	From []func(context.Context) (*Target, error)
}

// FileKind is the kind of a file. It is part of keys and metrics.
type FileKind string

// Kinds of files.
const (
	OriginalFile    FileKind = "original"    // before the first signature
	SignedFile      FileKind = "signed"      // with all signatures
	CertificateFile FileKind = "certificate" // of the signatures: who signed when
)

// At is a way to get a file: at an address that needs no call.
func At(address string) func(context.Context) (*Target, error) {
	return func(context.Context) (*Target, error) { return &Target{URL: address}, nil }
}

// ErrNotOurs means that a document belongs to a group that the source's settings exclude.
var ErrNotOurs = errors.New("the document belongs to a group that the settings exclude")

// Document is a document as its provider's API returns it.
type Document struct {
	ID         string
	Title      string
	Status     Status
	Sender     Sender      // empty if the API does not return it
	Recipients []Recipient // in signing order
}

// Status is the state of a document.
type Status string

// States of a document; empty if the API does not return one.
const (
	StatusUnknown   Status = ""
	StatusOpen      Status = "open" // not all people have signed
	StatusCompleted Status = "completed"
	StatusDeclined  Status = "declined"
	StatusVoided    Status = "voided" // withdrawn by its sender, or ended for an unknown reason
	StatusExpired   Status = "expired"
)

// Sender is the person who sent a document.
type Sender struct{ Name, Email string }

// Recipient is a person on a document, as the provider's API returns it.
type Recipient struct {
	ID                  string
	FirstName, LastName string
	Email, Mobile       string // as the provider wrote them
	// Wants has the channels on which this person wants messages, in the order of event.Channels.
	Wants []notifyv1.Channel
	// Blocked says why this person must not get messages on a channel, even on a channel that the person wants.
	Blocked map[notifyv1.Channel]Undeliverable
	// Order is the person's position in the signing order: a person may sign only when all people with a lower Order have signed. Without
	// a signing order all people have the same value.
	Order    int
	Signed   bool // as far as the API returns it
	Declined bool // as far as the API returns it
	// Invite is true if Signrelay sends this person the link, and false if the provider sends it.
	Invite bool
	// RemindedByProvider is true if the provider itself reminds this person.
	RemindedByProvider bool
	// SigningURL and DownloadURL are permanent addresses, and secrets. They are empty if the provider has only addresses that expire; then
	// call Open at the click.
	SigningURL, DownloadURL string
}

// Reachable returns the channels of a person at a provider that does not let people choose: text messages with a number, and e-mail with an
// address.
func (r Recipient) Reachable() []notifyv1.Channel {
	var channels []notifyv1.Channel
	if r.Mobile != "" {
		channels = append(channels, event.SMS)
	}
	if r.Email != "" {
		channels = append(channels, event.Email)
	}
	return channels
}

// Block notes a provider's reason against a channel. An empty reason changes nothing.
func (r *Recipient) Block(channel notifyv1.Channel, why Undeliverable) {
	if why == "" {
		return
	}
	if r.Blocked == nil {
		r.Blocked = map[notifyv1.Channel]Undeliverable{}
	}
	r.Blocked[channel] = why
}

// Undeliverable is a provider's reason against a channel.
type Undeliverable string

// Reasons against a channel.
const (
	OptedOut Undeliverable = event.OptedOut
	Landline Undeliverable = event.Landline
)

// Purpose is the purpose of a link.
type Purpose string

// Purposes of links.
const (
	Sign     Purpose = "sign"     // review and sign
	Download Purpose = "download" // the finished document
)

// Link is the content of a short link: not an address, but a person's access to a document.
type Link struct {
	Document  string // the provider's id
	Recipient string // the provider's id; empty if the provider has no ids for people
	Purpose   Purpose
}

// Target is the current target of a link: an address, or, if every address of the provider needs the source's credentials, the document
// itself.
type Target struct {
	URL string // a secret; http or https

	Body        io.ReadCloser // the document if URL is empty; the caller closes it
	ContentType string
	Size        int64 // in bytes; -1 if unknown
}

// NotOpenError means that a link has no target now.
type NotOpenError struct {
	Reason NotOpen
	In     time.Duration // time until another attempt makes sense; 0 if unknown, or never
	// Archived is true if the person may open the document, and the provider does not have it, or not before the time in In. Then an archive may
	// have it.
	Archived bool
}

func (e *NotOpenError) Error() string { return "nothing to open: " + string(e.Reason) }

// NotOpen is the reason why a link has no target.
type NotOpen string

// Reasons why a link has no target.
const (
	AlreadySigned NotOpen = "already-signed" // by this person
	Ended         NotOpen = "ended"          // the document was declined, withdrawn, or expired
	NotYet        NotOpen = "not-yet"        // other people sign first, or the document is being restored from an archive
	Gone          NotOpen = "gone"           // the document or the person no longer exists at the provider
)

// CallError describes a REST call that failed. Its text contains no secret and no personal data.
type CallError struct {
	Op     string // "GET request"
	Status int    // HTTP status; 0 without a response
	Err    error
	// Message is the provider's own explanation of a refused change, at most 300 bytes. It is for the operator's terminal: it may contain what the
	// request contained.
	Message string
}

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
