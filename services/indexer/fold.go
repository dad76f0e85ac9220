package indexer

import (
	"container/list"
	"context"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// record is an event with its place in the log.
type record struct {
	event    *signingv1.SigningEvent
	sequence uint64
	at       time.Time // when it was stored
}

// store has the documents that are not in memory: the index, or the one that is being built.
type store interface {
	Many(ctx context.Context, keys ...index.Key) ([]index.Found, error)
	Erased(ctx context.Context, source, provider, name string) ([]index.Key, error)
}

// folder folds events into documents, of which the latest used are in memory.
type folder struct {
	store store
	log   event.Log
	most  int // documents in memory

	order  *list.List // of *entry, the latest used first
	byKey  map[index.Key]*list.Element
	byName map[string]index.Key // see nameOf

	removed []index.Key
	evicted map[index.Key]*entry // changed documents that left the memory before they were stored
	forget  map[index.Key]bool
}

// entry is a document in memory.
type entry struct {
	key     index.Key
	number  uint64
	doc     *document.Document
	changed bool
}

func newFolder(s store, log event.Log, most int) *folder {
	return &folder{
		store: s, log: log, most: most, order: list.New(), byKey: map[index.Key]*list.Element{}, byName: map[string]index.Key{}, forget: map[index.Key]bool{}, evicted: map[index.Key]*entry{},
	}
}

func keyOf(e *signingv1.SigningEvent) index.Key {
	return index.Key{Source: e.GetSource(), Provider: e.GetProvider(), ID: e.GetDocument().GetId()}
}

// nameOf returns the name by which events about an erasure or a hold find a document.
func nameOf(k index.Key) string {
	return event.ErasedID(k.Source, k.Provider, event.DocumentToken(k.ID))
}

// byAnotherName returns the name of an event whose document.id is not the id of a document; empty for all other events.
func byAnotherName(e *signingv1.SigningEvent) string {
	switch e.GetType() {
	case event.DocumentErased:
		return e.GetDocument().GetId()
	case event.DocumentHeld, event.DocumentReleased: // they have the token
		return event.ErasedID(e.GetSource(), e.GetProvider(), e.GetDocument().GetId())
	default:
		return ""
	}
}

// fold folds events, and returns all changes.
func (f *folder) fold(ctx context.Context, window []record) (index.Batch, error) {
	if err := f.take(ctx, window); err != nil {
		return index.Batch{}, err
	}
	b, err := f.drain()
	if len(window) > 0 {
		last := window[len(window)-1]
		b.Position = index.Position{Sequence: last.sequence, At: last.at}
	}
	return b, err
}

// drain returns all changes that are not stored yet.
func (f *folder) drain() (index.Batch, error) {
	b, err := f.spill()
	for at := f.order.Front(); at != nil && err == nil; at = at.Next() {
		e, _ := at.Value.(*entry)
		if !e.changed {
			continue
		}
		var row index.Row
		row, err = f.row(e)
		b.Rows = append(b.Rows, row)
		e.changed = false
	}
	clear(f.forget)
	return b, err
}

// spill returns the changes of documents that are not in memory any more.
func (f *folder) spill() (index.Batch, error) {
	b := index.Batch{Removed: f.removed}
	for _, e := range f.evicted {
		row, err := f.row(e)
		if err != nil {
			return b, err
		}
		b.Rows = append(b.Rows, row)
	}
	f.removed = nil
	clear(f.evicted)
	return b, nil
}

func (f *folder) row(e *entry) (index.Row, error) {
	row, err := index.RowOf(e.doc, e.number)
	row.Key, row.Forget = e.key, f.forget[e.key]
	return row, err
}

// take folds events into the documents in memory.
func (f *folder) take(ctx context.Context, window []record) error {
	if err := f.load(ctx, window); err != nil {
		return err
	}
	for _, r := range window {
		if err := f.one(ctx, r); err != nil {
			return err
		}
	}
	f.shrink()
	return nil
}

// load reads the documents of the events that are not in memory, in one query.
func (f *folder) load(ctx context.Context, window []record) error {
	wanted := map[index.Key]bool{}
	for _, r := range window {
		k := keyOf(r.event)
		if k.ID != "" && byAnotherName(r.event) == "" && f.byKey[k] == nil && !f.bring(k) {
			wanted[k] = true
		}
	}
	keys := make([]index.Key, 0, len(wanted))
	for k := range wanted {
		keys = append(keys, k)
	}
	return f.read(ctx, keys...)
}

func (f *folder) read(ctx context.Context, keys ...index.Key) error {
	if len(keys) == 0 {
		return nil
	}
	found, err := f.store.Many(ctx, keys...)
	if err != nil {
		return err
	}
	for _, d := range found {
		doc, err := index.DocumentOf(d)
		if err != nil {
			return err
		}
		f.keep(&entry{key: d.Key, number: d.Number, doc: doc})
	}
	return nil
}

func (f *folder) keep(e *entry) {
	f.byKey[e.key] = f.order.PushFront(e)
	f.byName[nameOf(e.key)] = e.key
}

func (f *folder) lose(at *list.Element) {
	e, _ := f.order.Remove(at).(*entry)
	delete(f.byKey, e.key)
	delete(f.byName, nameOf(e.key))
}

// bring takes a document back into memory that left it and is not stored yet.
func (f *folder) bring(k index.Key) bool {
	e := f.evicted[k]
	if e == nil {
		return false
	}
	delete(f.evicted, k)
	f.keep(e)
	return true
}

// shrink removes the documents that were not used for the longest time. Those that changed are stored with the next batch.
func (f *folder) shrink() {
	for f.order.Len() > f.most {
		at := f.order.Back()
		e, _ := at.Value.(*entry)
		f.lose(at)
		if e.changed {
			f.evicted[e.key] = e
		}
	}
}

// one folds one event.
func (f *folder) one(ctx context.Context, r record) error {
	if name := byAnotherName(r.event); name != "" {
		return f.named(ctx, r, name)
	}
	k := keyOf(r.event)
	if k.ID == "" {
		return nil // it concerns no document, or does not name it
	}
	at := f.byKey[k]
	if at == nil {
		f.keep(&entry{key: k, number: r.sequence, doc: new(document.Document)})
		at = f.byKey[k]
	}
	f.order.MoveToFront(at)
	e, _ := at.Value.(*entry)
	if r.sequence > e.doc.Sequence {
		e.doc.Apply(r.event, r.sequence)
		e.changed = true
	}
	return nil
}

// named folds an event about a hold or an erasure.
func (f *folder) named(ctx context.Context, r record, name string) error {
	k, known := f.byName[name]
	if !known { // those that are not stored yet are few and the events are rare
		for evicted := range f.evicted {
			if nameOf(evicted) == name {
				k, known = evicted, f.bring(evicted)
				break
			}
		}
	}
	if !known {
		keys, err := f.store.Erased(ctx, r.event.GetSource(), r.event.GetProvider(), name)
		if err != nil || len(keys) == 0 {
			return err
		}
		k = keys[0]
		if err := f.read(ctx, k); err != nil {
			return err
		}
	}
	at := f.byKey[k]
	if at == nil {
		return nil
	}
	e, _ := at.Value.(*entry)
	switch {
	case r.sequence <= e.doc.Sequence:
		return nil
	case r.event.GetType() != event.DocumentErased:
		e.doc.Apply(r.event, r.sequence)
	case r.event.GetAttributes()["scope"] != "person":
		f.lose(at)
		f.removed = append(f.removed, k)
		return nil
	default:
		if err := f.again(ctx, e, r); err != nil {
			return err
		}
		f.forget[k] = true
	}
	e.changed = true
	return nil
}

// again folds a document from which a person was removed, from the events that stay. If the log does not have the document's first events any
// more, only the person is removed from what is known.
func (f *folder) again(ctx context.Context, e *entry, r record) error {
	first, _, err := f.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if e.number >= first {
		gone, err := erase.Sequences(r.event)
		if err != nil {
			return err
		}
		doc := new(document.Document)
		filter := event.SubjectOfToken(e.key.Source, e.key.Provider, "*.*", event.DocumentToken(e.key.ID))
		for m, err := range f.log.Narrow(ctx, filter) {
			if err != nil {
				return fmt.Errorf("read a document's events: %w", err)
			}
			if m.Sequence >= r.sequence {
				break
			}
			if gone[m.Sequence] {
				continue
			}
			stays, err := event.Decode(event.WithoutCallback(m.Data))
			if err != nil {
				return err
			}
			if keyOf(stays) == e.key {
				doc.Apply(stays, m.Sequence)
			}
		}
		if doc.Sequence > 0 {
			e.doc = doc
		}
	}
	e.doc.Apply(r.event, r.sequence)
	return nil
}
