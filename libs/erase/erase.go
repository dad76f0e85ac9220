// Package erase removes a document, or a person, from every place of the flow, and keeps documents that are under a legal hold.
//
// places.go lists all places. find.go finds what belongs to a target in one pass over each stream, remove.go removes it, settle.go lets the
// server rewrite the files that still have bytes of earlier removals, and search.go proves the result by a search of the files' bytes.
package erase

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
)

// Eraser has the places from which it removes.
type Eraser struct {
	JS   jetstream.JetStream
	Ring keyring.Ring
	// Claims forgets the confirmations of the senders in Redis, by the namespace of their claims; nil without Redis.
	Claims  func(ctx context.Context, namespace string, ids ...string) error
	Archive Files // nil without an archive
	// Sources are those of the settings. The archive is searched for files of a document at each of them, because it keeps files for longer than the
	// log keeps events.
	Sources []Source
	// NoOverwrite removes messages without overwriting them: no reader gets them any more, and their bytes stay in the server's files until it
	// rewrites or deletes these.
	NoOverwrite bool
	// Known is the time within which every replica of ingest knows that a document is erased; see Tombstones.
	Known time.Duration
	// Progress is called after each part of the work, never twice at a time; it may be nil.
	Progress func(place string, done, all int)
	Log      *slog.Logger
}

// Document is a document as its subjects name it.
type Document struct {
	Source, Provider string
	Token            string // see event.DocumentToken
}

// Name returns the document's name after its erasure.
func (d Document) Name() string { return event.ErasedID(d.Source, d.Provider, d.Token) }

// Source is a source with its provider.
type Source struct{ Name, Provider string }

// Target is what is erased: documents, or one person.
type Target struct {
	IDs    []string             // documents by their providers' ids, at any source
	Source string               // only those of this source; empty for all
	Exact  map[Document]bool    // documents of one source each
	Ends   map[Source]time.Time // events of these sources without a document that were stored before
	Person *Person
	// SharedFiles also deletes the archived files of the person's documents that have other people.
	SharedFiles bool
	// OptOuts also removes the person's opt-out. Without it the keyed hash stays, so that the person gets no messages again.
	OptOuts bool
}

// Order is who erases, and why. Neither may contain personal data of the target.
type Order struct {
	By, Reason string
}
