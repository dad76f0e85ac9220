package operate

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
)

// Dossier is everything that the streams have about one document now. It has personal data.
type Dossier struct {
	Is       Document // with the provider's own id, also if it was asked for by its public form
	Document document.Document
	Events   []event.Stored // in the order of the log
	Facts    document.Facts
	// Partial is true if the source has so many events that name no document that not all of them were searched for the document's people.
	Partial bool
}

// ErrNoDocument means that the log has no event of a document.
var ErrNoDocument = errors.New("the log has no event of this document")

// mostUnnamed is the number of events without a document that a dossier searches: 0.7 s.
const mostUnnamed = 20_000

// Dossier gathers what the streams have about a document. known are the facts from the settings. Each read is bounded: by the subjects of the
// document, by the ids of its messages, or by a number of messages.
func (o *Operator) Dossier(ctx context.Context, d Document, known document.Facts) (Dossier, error) {
	got := Dossier{Is: d, Facts: known}
	if err := o.gatherEvents(ctx, &got); err != nil {
		return Dossier{}, err
	}
	if len(got.Events) == 0 {
		return Dossier{}, ErrNoDocument
	}
	for _, s := range got.Events {
		got.Document.Apply(s.Event, s.Sequence)
	}
	got.Document.Source, got.Document.Provider = d.Source, d.Provider
	f := &got.Facts
	reads, ctx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) { f.Held, err = o.heldOf(ctx, &got.Document); return err })
	reads.Go(func() (err error) { f.Dead, err = o.deadOf(ctx, got.Is); return err })
	reads.Go(func() (err error) { f.Reminders, err = o.remindersOf(ctx, got.Is); return err })
	reads.Go(func() (err error) { f.Deferred, err = o.deferredOf(ctx, got.Is); return err })
	reads.Go(func() error {
		h, held, err := erase.HoldOf(ctx, o.JS, got.Is.erased())
		if held {
			f.LegalHold = &document.LegalHold{Since: h.Since, By: h.By, Reason: h.Reason}
		}
		return err
	})
	return got, reads.Wait()
}

// gatherEvents reads the events of a document by exact subjects (docs/adr/0054). A provider may report what a person does without naming the document
// (esign-v1). Such an event belongs to the document if another event of it names the person.
func (o *Operator) gatherEvents(ctx context.Context, got *Dossier) error {
	d, token, log := got.Is, event.DocumentToken(got.Is.ID), o.signing()
	found, err := log.Subjects(ctx, event.SubjectOfToken(d.Source, d.Provider, "*.*", token))
	if err != nil {
		return err
	}
	subjects := append(slices.Collect(maps.Keys(found)), event.SubjectOf(d.Source, d.Provider, event.DocumentErased, event.ErasedID(d.Source, d.Provider, token)))
	all, err := o.readAll(ctx, subjects, time.Time{}, 0, nil)
	if err != nil {
		return err
	}
	// The events that name the id. Two ids may have one token, and the events of operators have only the token.
	exact := slices.ContainsFunc(all, func(s event.Stored) bool { return s.Event.GetDocument().GetId() == d.ID })
	var first time.Time
	people := map[string]bool{}
	for _, s := range all {
		switch id := s.Event.GetDocument().GetId(); {
		case id == d.ID || s.Event.GetType() == event.DocumentErased:
		case id == token && event.DocumentToken(id) == token: // an operator's event, or the public form
		case !exact && event.DocumentToken(id) == token:
			got.Is.ID = id
		default:
			continue
		}
		got.Events = append(got.Events, s)
		if first.IsZero() || s.Time.Before(first) {
			first = s.Time
		}
		if id := s.Event.GetRecipient().GetId(); id != "" {
			people[id] = true
		}
	}
	if len(people) > 0 {
		unnamed, err := o.unnamed(ctx, got, first.Add(-time.Hour))
		if err != nil {
			return err
		}
		for _, s := range unnamed {
			if people[s.Event.GetRecipient().GetId()] {
				got.Events = append(got.Events, s)
			}
		}
	}
	slices.SortFunc(got.Events, func(a, b event.Stored) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return nil
}

// unnamed reads the events about people of the source that name no document.
func (o *Operator) unnamed(ctx context.Context, got *Dossier, since time.Time) ([]event.Stored, error) {
	present, err := o.signing().Subjects(ctx, event.SubjectOf(got.Is.Source, got.Is.Provider, "*.*", ""))
	if err != nil {
		return nil, err
	}
	var subjects []string
	for subject := range present {
		at, ok := event.ParseSubject(subject)
		if ok && slices.Contains(aboutPeople, event.Entity(at.Type)) {
			subjects = append(subjects, subject)
		}
	}
	return o.readAll(ctx, subjects, since, mostUnnamed/max(len(subjects), 1), &got.Partial)
}

// aboutPeople are the entities of events about people.
var aboutPeople = []string{event.EntityRecipient, event.EntityNotification, event.EntityLink, event.EntityReminder}

// readAll reads the messages of several subjects at once, at most most of each; 0 means all. It sets partial if there are more.
func (o *Operator) readAll(ctx context.Context, subjects []string, since time.Time, most int, partial *bool) ([]event.Stored, error) {
	log := o.signing()
	var mutex sync.Mutex
	var all []event.Stored
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(lookups)
	for _, subject := range subjects {
		reads.Go(func() error {
			var found []event.Stored
			for m, err := range log.Messages(ctx, subject, since) {
				if err != nil {
					return err
				}
				if most > 0 && len(found) == most {
					mutex.Lock()
					*partial = true
					mutex.Unlock()
					break
				}
				e, err := event.Decode(m.Data)
				if err != nil {
					return err
				}
				found = append(found, event.Stored{RawStreamMsg: m, Event: e})
			}
			mutex.Lock()
			defer mutex.Unlock()
			all = append(all, found...)
			return nil
		})
	}
	return all, reads.Wait()
}

// heldOf looks up the messages of the document that may be held.
func (o *Operator) heldOf(ctx context.Context, d *document.Document) ([]document.HeldMessage, error) {
	ids := map[string][]string{}
	add := func(all []document.Message) {
		for _, m := range all {
			if m.Channel != "" && (m.Outcome == document.Held || m.Outcome == document.Requested || m.Outcome == document.Deferred) {
				ids[m.Channel] = append(ids[m.Channel], m.ID)
			}
		}
	}
	for i := range d.People {
		add(d.People[i].Messages)
	}
	add(d.Unnamed)
	found, err := notification.HeldOf(ctx, o.JS, ids)
	if err != nil {
		return nil, err
	}
	var all []document.HeldMessage
	for _, h := range found {
		all = append(all, document.HeldMessage{
			ID: h.ID, Kind: h.Kind, Channel: h.Channel, Reason: h.Reason, Fault: string(h.Fault), Since: h.Since, Limit: h.Limit, Country: h.Country,
			Attempts: h.Tries, Next: h.Next,
		})
	}
	return all, nil
}

func (o *Operator) remindersOf(ctx context.Context, d Document) ([]document.ScheduledReminder, error) {
	scheduled, err := o.Reminders(ctx, d)
	if err != nil {
		return nil, err
	}
	var all []document.ScheduledReminder
	for _, r := range scheduled {
		number, _ := strconv.Atoi(r.Number)
		all = append(all, document.ScheduledReminder{Person: r.Recipient, Number: number, Due: r.Due})
	}
	return all, nil
}

func (o *Operator) deferredOf(ctx context.Context, d Document) ([]document.DeferredMessage, error) {
	var all []document.DeferredMessage
	for _, c := range event.Channels {
		log := event.Log{JS: o.JS, Stream: flow.DueStage(c.Name).Stream}
		for m, err := range log.Narrow(ctx, flow.LatersOf(c.Name, d.Source, d.Provider, d.ID)) {
			if err != nil {
				return nil, err
			}
			n, err := notification.Decode(m.Data)
			if until, scheduled := flow.ScheduledAt(m.Header); err == nil && scheduled && n.GetDocumentId() == d.ID {
				all = append(all, document.DeferredMessage{ID: n.GetId(), Until: until})
			}
		}
	}
	return all, nil
}

// SelectDead returns the selection of a document's dead letters, for a replay.
func (d Dossier) SelectDead() Selection {
	var keys []string
	for _, l := range d.Facts.Dead {
		keys = append(keys, l.Key)
	}
	slices.SortFunc(keys, strings.Compare)
	return Selection{Keys: keys}
}
