package index

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/prices"
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
		for _, f := range p.Former {
			one.Former = append(one.Former, Former{f.FirstName, f.LastName, f.Email, f.Mobile})
		}
		if p.TextParts > 0 {
			one.Country = prices.Country(p.Mobile)
		}
		if !p.SignedAt.IsZero() {
			one.Channel, one.Kind = cause(p.LastBefore(p.SignedAt))
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

// cause returns the channel and the kind of the last message before a signature, with the number of a reminder: "reminder 1".
func cause(m *document.Message) (channel, kind string) {
	switch {
	case m == nil:
		return "", ""
	case m.Number > 0:
		return m.Channel, m.Kind + " " + strconv.Itoa(m.Number)
	default:
		return m.Channel, m.Kind
	}
}

// stuck reports whether a message to a person does not go on by itself: it is held, or it was given up and nothing replaced it while the document
// waits.
func stuck(d *document.Document, p *document.Person) bool {
	for i := range p.Messages {
		switch m := &p.Messages[i]; {
		case p.Formerly(m): // it does not leave any more, and the person was invited again
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
