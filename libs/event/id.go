// Package event defines the vocabulary of signing events: their ids, their subjects in the log, and their CloudEvents headers.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// TransitionID returns the id of a fact that happens once, made from its source, provider, document, recipient and type. All callbacks about
// the fact get this id. A provider may send a document again, and a person may sign or decline several contracts: the parameter again
// distinguishes these facts. Its value comes from the event itself, never from its receipt (docs/adr/0011).
func TransitionID(e *signingv1.SigningEvent, again ...string) string {
	parts := []string{"once", e.GetSource(), e.GetProvider(), e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetType()}
	return hash(append(parts, again...)...)
}

// OccurrenceID returns the id of one occurrence of an event that can happen often. It is made from its source, provider, type, and the values
// by which the provider distinguishes occurrences: the provider's event id, or all fields of an item without an id. It includes the type,
// because some providers give one id to events of several types.
func OccurrenceID(e *signingv1.SigningEvent, occurrence ...string) string {
	return hash(append([]string{"each", e.GetSource(), e.GetProvider(), e.GetType()}, occurrence...)...)
}

// OccurrenceOf returns the id of one occurrence by the provider's own event id. That id is not always unique: some providers send
// 0 or a constant word for every event, or number the events of each document from 1. So the id includes the document and the person.
func OccurrenceOf(e *signingv1.SigningEvent, occurrence ...string) string {
	if document, person := e.GetDocument().GetId(), e.GetRecipient().GetId(); document != "" || person != "" {
		occurrence = append(occurrence, document, person)
	}
	return OccurrenceID(e, occurrence...)
}

// DerivedID returns the id of a stage's output, made from the input's id, the stage's name, and a key that distinguishes this output from
// the input's other outputs. A repeated attempt gets the same id.
func DerivedID(inputID, stage, key string) string {
	return hash("derived", inputID, stage, key)
}

var lowerBase32 = base32.HexEncoding.WithPadding(base32.NoPadding)

// hash returns 128 bits of SHA-256 as 26 characters [0-9a-v]: no padding, no leading dash, legal in subjects, URLs and file names. The length
// of each part precedes it, so ("ab","c") and ("a","bc") differ.
func hash(parts ...string) string {
	h := sha256.New()
	var length [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(length[:], uint32(len(p)))
		h.Write(length[:])
		h.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	encoded := lowerBase32.AppendEncode(nil, h.Sum(sum[:0])[:16])
	for i, c := range encoded {
		if c >= 'A' && c <= 'Z' {
			encoded[i] = c + ('a' - 'A')
		}
	}
	return string(encoded)
}
