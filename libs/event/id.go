// Package event says what a signing event is called: its id, its subject in the log, and its CloudEvents headers.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// TransitionID is the id of a fact that happens once, whichever callback reports it and however often: of its source,
// provider, document, recipient and type. Where a provider can send again, or one person answers several contracts, again is
// what tells those facts apart. It comes from the event itself, never from its receipt (docs/adr/0011).
func TransitionID(e *signingv1.SigningEvent, again ...string) string {
	parts := []string{"once", e.GetSource(), e.GetProvider(), e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetType()}
	return hash(append(parts, again...)...)
}

// OccurrenceID is the id of one occurrence of something that may happen often: of its source, provider, type, and of
// what the provider tells occurrences apart by (its own event id, or all the fields of an item that has none). The
// type belongs in it because providers were seen to give one id to events of several types.
func OccurrenceID(e *signingv1.SigningEvent, occurrence ...string) string {
	return hash(append([]string{"each", e.GetSource(), e.GetProvider(), e.GetType()}, occurrence...)...)
}

// OccurrenceOf is the id of one occurrence by the provider's own event id, which is not always the event's own: providers send
// 0 or a word for every event, or number the events of each document from 1. So the document and the person belong in it.
func OccurrenceOf(e *signingv1.SigningEvent, occurrence ...string) string {
	if document, person := e.GetDocument().GetId(), e.GetRecipient().GetId(); document != "" || person != "" {
		occurrence = append(occurrence, document, person)
	}
	return OccurrenceID(e, occurrence...)
}

// DerivedID is the id of what a stage made from an input: of the input's id, the stage's name, and of what tells this
// output from the input's other outputs. Making it again yields the same id.
func DerivedID(inputID, stage, key string) string {
	return hash("derived", inputID, stage, key)
}

var lowerBase32 = base32.HexEncoding.WithPadding(base32.NoPadding)

// hash returns 128 bits of SHA-256 as 26 characters [0-9a-v]: no padding, no leading dash, legal in subjects, URLs and
// file names. Each part goes in behind its length, so ("ab","c") and ("a","bc") differ.
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
