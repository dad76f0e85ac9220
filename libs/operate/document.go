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
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
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

// freezeResend plans a person's invitation once more. Only the provider knows the addresses, so the plan goes by the person's earlier invitations.
func (o *Operator) freezeResend(ctx context.Context, w *work, d Document) error {
	who := w.Selection.Recipient
	if who == "" {
		return &SelectionError{"choose the person who gets the invitation once more"}
	}
	for _, name := range w.Selection.Channels {
		if !slices.Contains(event.ChannelNames(), name) {
			return &SelectionError{fmt.Sprintf("there is no channel %q", name)}
		}
	}
	is, err := o.signing().Standing(ctx, d.signer(who))
	if err != nil {
		return err
	}
	if is.Over != "" {
		return &RefusedError{is.Over, "the invitation is not sent again: " + map[string]string{
			event.OverSigned: "the person has signed", event.OverDeclined: "the person has declined", event.OverDocument: "the document has ended",
			event.OverOptedOut: "the person does not want messages about the document",
		}[is.Over]}
	}
	known, requested, suppressed := false, map[string]bool{}, map[string]string{}
	for s, err := range o.signing().Life(ctx, d.signer("")) {
		if err != nil {
			return err
		}
		e := s.Event
		if e.GetRecipient().GetId() != who {
			continue
		}
		known = true
		if channel := e.GetNotice().GetChannel(); e.GetNotice().GetKind() == event.KindName(notifyv1.Kind_KIND_INVITATION) {
			switch e.GetType() {
			case event.NotificationRequested:
				requested[channel] = true
			case event.NotificationSuppressed:
				suppressed[channel] = e.GetNotice().GetReason()
			}
		}
	}
	if !known {
		return &RefusedError{NotListed, "the log has no event of this person on the document"}
	}
	t, err := o.newTally(ctx, true)
	if err != nil {
		return err
	}
	if len(w.Selection.Channels) == 0 {
		for _, name := range event.ChannelNames() {
			if requested[name] {
				w.Selection.Channels = append(w.Selection.Channels, name)
			}
		}
	}
	for _, name := range w.Selection.Channels {
		switch {
		case !requested[name] && suppressed[name] != "":
			t.stay(name, suppressed[name], 1)
		case t.foresee.HeldOn(name) != "":
			t.again[Staying{Channel: name, Reason: t.foresee.HeldOn(name)}]++
		default:
			t.leave(name, nil, personHash(who))
		}
	}
	t.into(&w.Plan)
	if len(t.leaves)+len(t.again) == 0 {
		return &RefusedError{NoChannelLeft, "the person's earlier invitations could not be sent on the chosen channels" + stays(w.Plan.Stays)}
	}
	w.Plan.Rows = []Row{{Stage: flow.Enricher, What: "invitation", Count: 1, People: 1}}
	w.Items = []frozen{{Key: "resend", Hash: contentHash([]byte(is.Sending))}}
	return nil
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
	for m, err := range (event.Log{JS: o.JS, Stream: flow.Remind}).Messages(ctx, flow.RemindersOf(d.Source, d.Provider, d.ID), time.Time{}) {
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
