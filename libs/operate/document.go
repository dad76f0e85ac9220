package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// The reasons of RefusedError, besides those for which a document does not wait for a person any more (event.Standing).
const (
	NotListed     = "not-listed"     // the log has no event of that person on the document
	NoReminders   = "no-reminders"   // no reminder is scheduled
	NotCompleted  = "not-completed"  // there are no files of a document that is not completed
	NothingFound  = "nothing-found"  // no place has anything of the document
	UnderHold     = "under-hold"     // a document under a legal hold is not erased
	NotUnderHold  = "not-under-hold" // there is no hold to end
	NoChannelLeft = "no-channel"     // the invitation could not be sent on any of the chosen channels before
	NotSupported  = "not-supported"  // the provider's API sends no message on request
	TooSoon       = "too-soon"       // the provider accepts no request for its message yet
	Unchanged     = "unchanged"      // the person has these details already
)

func (d Document) signer(recipient string) event.Signer {
	return event.Signer{Source: d.Source, Provider: d.Provider, Document: d.ID, Recipient: recipient}
}

func (d Document) erased() erase.Document {
	return erase.Document{Source: d.Source, Provider: d.Provider, Token: event.DocumentToken(d.ID)}
}

// freezeDocument plans an action on one document.
func (o *Operator) freezeDocument(ctx context.Context, w *work) error {
	d := *w.Selection.Document
	switch w.Plan.Action {
	case Resend:
		return o.freezeResend(ctx, w, d)
	case Correct:
		return o.freezeCorrect(ctx, w, d)
	case CancelReminders:
		return o.freezeReminders(ctx, w, d)
	case ArchiveAgain:
		return o.freezeArchive(ctx, w, d)
	case Erase:
		return o.freezeErase(ctx, w, d)
	case HoldDocument:
		return o.freezeHold(ctx, w, d)
	case ReleaseDocument:
		return o.freezeUnhold(ctx, w, d)
	default:
		return &SelectionError{fmt.Sprintf("there is no action %q", w.Plan.Action)}
	}
}

// Reminder is a reminder that is scheduled for a person of a document.
type Reminder struct {
	Recipient string    `json:"recipient"`
	Number    string    `json:"number"` // from 1
	Due       time.Time `json:"due"`
}

// Reminders returns the scheduled reminders of a document, the next one first. The later ones of a person are scheduled one after the other.
func (o *Operator) Reminders(ctx context.Context, d Document) ([]Reminder, error) {
	var all []Reminder
	for m, err := range (event.Log{JS: o.JS, Stream: flow.Remind}).Narrow(ctx, flow.RemindersOf(d.Source, d.Provider, d.ID)) {
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return nil, err
		}
		if m.Header.Get(jetstream.ScheduleHeader) == "" || e.GetDocument().GetId() != d.ID {
			continue
		}
		all = append(all, Reminder{e.GetRecipient().GetId(), e.GetAttributes()["number"], event.Time(e)})
	}
	slices.SortFunc(all, func(a, b Reminder) int { return a.Due.Compare(b.Due) })
	return all, nil
}

func (o *Operator) freezeReminders(ctx context.Context, w *work, d Document) error {
	all, err := o.Reminders(ctx, d)
	if err != nil {
		return err
	}
	for _, r := range all {
		if w.Selection.Recipient == "" || w.Selection.Recipient == r.Recipient {
			w.Items = append(w.Items, frozen{Key: reminderKey + r.Recipient})
		}
	}
	if len(w.Items) == 0 {
		return &RefusedError{NoReminders, "no reminder is scheduled"}
	}
	w.Plan.Rows = []Row{{Stage: flow.ReminderDue, What: "reminder", Count: len(w.Items), People: len(w.Items)}}
	return nil
}

func (o *Operator) freezeArchive(ctx context.Context, w *work, d Document) error {
	completed, err := o.completed(ctx, d)
	if err != nil {
		return err
	}
	if completed == nil {
		return &RefusedError{NotCompleted, "the document is not completed, so there are no files to store"}
	}
	w.Items = []frozen{{Key: Key("sequence", completed.Sequence)}}
	w.Plan.Rows = []Row{{Stage: flow.Archiver, What: event.DocumentCompleted, Count: 1}}
	return nil
}

// completed returns the last document.completed of a document; nil if there is none.
func (o *Operator) completed(ctx context.Context, d Document) (last *jetstream.RawStreamMsg, err error) {
	for m, err := range o.signing().Messages(ctx, event.SubjectOf(d.Source, d.Provider, event.DocumentCompleted, d.ID), time.Time{}) {
		if err != nil {
			return nil, err
		}
		if e, err := event.Decode(m.Data); err == nil && e.GetDocument().GetId() == d.ID {
			last = m
		}
	}
	return last, nil
}

func (o *Operator) freezeErase(ctx context.Context, w *work, d Document) error {
	e := &erase.Eraser{JS: o.JS, Ring: o.Ring, Log: o.log()}
	found, err := e.Find(ctx, erase.Target{Exact: map[erase.Document]bool{d.erased(): true}})
	if err != nil {
		return err
	}
	if found.Empty() {
		return &RefusedError{NothingFound, "no place has anything of the document"}
	}
	held, err := e.Held(ctx, found)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return &RefusedError{UnderHold, "the document is under a legal hold: end the hold first"}
	}
	w.Plan.Places = found.Places()
	w.Items = []frozen{{Key: "document"}}
	return nil
}

func (o *Operator) freezeHold(ctx context.Context, w *work, d Document) error {
	documents, err := erase.DocumentsOf(ctx, o.JS, d.ID, d.Source)
	if err != nil {
		return err
	}
	if !slices.Contains(documents, d.erased()) {
		return &RefusedError{NothingFound, "the log has no events of this document"}
	}
	w.Items = []frozen{{Key: "document"}}
	return nil
}

func (o *Operator) freezeUnhold(ctx context.Context, w *work, d Document) error {
	all, err := erase.Holds(ctx, o.JS)
	if err != nil {
		return err
	}
	if _, held := all[d.erased()]; !held {
		return &RefusedError{NotUnderHold, "the document is not under a legal hold"}
	}
	w.Items = []frozen{{Key: "document"}}
	return nil
}

// reminderKey is the beginning of the key of a person's reminders.
const reminderKey = "reminders of "

// channelNames returns the channels of a resent invitation, as the event has them.
func channelNames(s Selection) string { return strings.Join(s.Channels, ",") }

// errNoEraser means that a process without an eraser got the job of an erasure, which is a mistake in its list of actions.
var errNoEraser = errors.New("this process may not erase")
