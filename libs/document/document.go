// Package document folds the events of one document into its state, and explains the state: who was notified and who was not, why, and what
// happens next. It is pure: it reads no network and no clock. The index stores a Document for each document, and the console shows Explain's
// model (docs/adr/0043).
package document

import "time"

// State is the state of a document.
type State string

// The states of a document.
const (
	Created   State = "created"   // the provider has it, and no one was asked to sign
	Waiting   State = "waiting"   // it waits for signatures
	Completed State = "completed" // all signers have signed
	Declined  State = "declined"  // a person declined it
	Voided    State = "voided"    // the sender withdrew it
	Expired   State = "expired"   // the time to sign is over
	Erased    State = "erased"    // an operator or a retention period removed it
)

// States are all states, in the order of a document's life.
var States = []State{Created, Waiting, Completed, Declined, Voided, Expired, Erased}

// Ended reports whether the document waits for no signature any more.
func (s State) Ended() bool { return s != Created && s != Waiting && s != "" }

// Document is the state of one document, folded from its events by Apply. The zero value has no event. Its JSON is compact, because an index
// has millions of them: keys have two letters and are part of the stored format, so they are never given another meaning.
type Document struct {
	Source   string `json:"sr,omitempty"`
	Provider string `json:"pr,omitempty"`
	// ID is the provider's id. After the document's erasure it is the name that event.ErasedID returns.
	ID    string `json:"id,omitempty"`
	Title string `json:"ti,omitempty"` // personal
	// TitledAt is the time of the report that had the title.
	TitledAt time.Time `json:"ta,omitzero"`
	Group    string    `json:"gr,omitempty"` // the provider's group or folder
	// Sender is the name of the sender. No event has it: a caller sets it from the source's settings. Personal.
	Sender string `json:"se,omitempty"`
	State  State  `json:"st,omitempty"`

	CreatedAt time.Time `json:"ca,omitzero"` // of the first document.created
	SentAt    time.Time `json:"sa,omitzero"` // of the latest sending
	FirstSent time.Time `json:"fs,omitzero"` // of the first sending
	Sendings  int       `json:"sn,omitempty"`
	EndedAt   time.Time `json:"ea,omitzero"` // zero while the document waits
	FirstAt   time.Time `json:"fa,omitzero"` // the earliest time of an event
	LastAt    time.Time `json:"la,omitzero"` // the latest time of an event
	// Sequence is the place in the log of the last event that Apply folded. Apply ignores an event up to it.
	Sequence uint64 `json:"sq,omitempty"`

	Reported   int `json:"er,omitempty"` // events that the provider reported
	Own        int `json:"eo,omitempty"` // events that Signrelay made
	Unverified int `json:"eu,omitempty"` // of the reported ones, those that nothing authenticated; they change no state

	// People are the people that the events name, in the order of their first event. The order never changes, so that a person keeps the number
	// of "Signer 2". A signer whose turn has not come may be unknown.
	People []Person `json:"pe,omitempty"`
	// Unnamed are the messages whose event names no person: those to the document's sender, and those to a signer without an id.
	Unnamed []Message `json:"um,omitempty"`
	// UnnamedSigned is the number of signatures that name no person. Each counts as a signer.
	UnnamedSigned int `json:"us,omitempty"`
	// Opened says when a link was opened whose event names no person.
	Opened Opened `json:"op,omitzero"`

	// Untold is the number of people who should know something now, and were not notified by any channel, or have a held message.
	Untold int `json:"un,omitempty"`

	Files     []File    `json:"fi,omitempty"` // in the archive, in the order of their events
	HeldSince time.Time `json:"lh,omitzero"`  // the document is under a legal hold
	// ErasedBy is the party that erased the document: an operator's name or a retention period.
	ErasedBy string `json:"eb,omitempty"`
	Erasures int    `json:"en,omitempty"` // of people of the document
	// IsMasked is true for a copy that Masked made.
	IsMasked bool `json:"ma,omitempty"`

	Ends Ends `json:"ed,omitzero"`
}

// Ends are the latest times of the facts that end a document. The state follows from all of them (event.PastOf), because callbacks arrive in
// any order, and a document that ended can be sent again.
type Ends struct {
	Completed time.Time `json:"co,omitzero"`
	Declined  time.Time `json:"de,omitzero"`
	Refused   time.Time `json:"re,omitzero"` // recipient.declined that names no person
	Voided    time.Time `json:"vo,omitzero"`
	Expired   time.Time `json:"ex,omitzero"`
}

// File is a file in the archive.
type File struct {
	Kind   string    `json:"ki,omitempty"` // "original", "signed" or "certificate"
	Size   uint64    `json:"si,omitempty"` // in bytes
	SHA256 string    `json:"sh,omitempty"`
	Key    string    `json:"ke,omitempty"` // in the archive
	At     time.Time `json:"at,omitzero"`
}
