package index

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
)

// RowOf returns the row of a document. number is the sequence of its first event.
func RowOf(d *document.Document, number uint64) (Row, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return Row{}, fmt.Errorf("encode a document: %w", err)
	}
	signed, _ := d.Signed()
	r := Row{
		Key: Key{d.Source, d.Provider, d.ID}, Number: number, Sequence: d.Sequence, Title: d.Title, State: string(d.State), Signed: signed,
		Untold: d.Untold, SentAt: firstOf(d.FirstSent, d.FirstAt), EndedAt: d.EndedAt, LastAt: d.LastAt, Body: body,
	}
	for i := range d.People {
		p := &d.People[i]
		one := Person{
			FirstName: p.FirstName, LastName: p.LastName, Email: p.Email, Mobile: p.Mobile,
			SentAt: earliest(p.FirstSent, p.ProviderAt), DeliveredAt: p.Delivered, OpenedAt: p.Opened.At, SignedAt: p.SignedAt, Parts: int(p.TextParts),
		}
		if m := lastBefore(p, p.SignedAt); m != nil {
			one.Channel, one.Kind = m.Channel, m.Kind
		}
		r.People = append(r.People, one)
		r.Stuck = r.Stuck || stuck(d, p)
	}
	return r, nil
}

// DocumentOf returns the document of a row.
func DocumentOf(f Found) (*document.Document, error) {
	d := new(document.Document)
	if err := json.Unmarshal(f.Body, d); err != nil {
		return nil, fmt.Errorf("decode a document of the index: %w", err)
	}
	return d, nil
}

func firstOf(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// lastBefore returns the last message that was handed over before a person signed; nil without a signature.
func lastBefore(p *document.Person, signed time.Time) (last *document.Message) {
	if signed.IsZero() {
		return nil
	}
	for i := range p.Messages {
		m := &p.Messages[i]
		if !m.SentAt.IsZero() && !m.SentAt.After(signed) && (last == nil || cmp.Compare(m.SentAt.UnixNano(), last.SentAt.UnixNano()) >= 0) {
			last = m
		}
	}
	return last
}

// stuck reports whether a message to a person does not go on by itself: it is held, or it was given up and nothing replaced it while the document
// waits.
func stuck(d *document.Document, p *document.Person) bool {
	for i := range p.Messages {
		switch m := &p.Messages[i]; {
		case m.Outcome == document.Held:
			return true
		case m.Outcome == document.Failed && m.Fallback == "" && !d.State.Ended():
			return true
		}
	}
	return false
}

// storable returns an id as the databases can store it: PostgreSQL accepts no zero byte.
func storable(id string) string { return strings.ReplaceAll(id, "\x00", "\uFFFD") }

// longestID is the number of characters of an id that are searchable. PostgreSQL's index accepts 2,700 bytes.
const longestID = 300

func foldID(id string) string {
	folded := []rune(fold(id))
	return string(folded[:min(len(folded), longestID)])
}
