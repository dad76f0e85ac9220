package reminder

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// schedule schedules a person's first reminder when the person gets a document, and cancels scheduled reminders when a person or a document
// does not wait for a signature any more.
func (r reminder) schedule(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	e := in.Data
	switch {
	case e.GetDocument().GetId() == "":
		return nil, outcome.Skip("no-document")
	case e.GetVerification() == signingv1.Verification_VERIFICATION_NONE:
		return nil, outcome.Skip("unconfirmed") // a forged event must neither remind nor stop a reminder
	case event.EndsReminders(e.GetType()):
		return r.cancel(ctx, in)
	case event.BeginsReminders(e.GetType()):
		return r.begin(ctx, in)
	default:
		return nil, outcome.Skip("no-invitation")
	}
}

func (r reminder) begin(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	e := in.Data
	due := r.settings(e).Due()
	switch {
	case len(due) == 0:
		return nil, outcome.Skip("not-wanted")
	case e.GetType() == event.NotificationSent && e.GetNotice().GetKind() != event.KindName(notifyv1.Kind_KIND_INVITATION):
		return nil, outcome.Skip("no-invitation")
	case e.GetRecipient().GetId() == "":
		return nil, outcome.Skip("no-recipient-id")
	case r.now().Sub(event.Time(e)) > flow.LogReaches:
		return nil, outcome.Skip(notification.OlderThanLog) // the log may have lost the person's signature
	}
	who := event.SignerOf(e)
	is, reminded, err := r.log.StandingWith(ctx, who, event.ReminderScheduled)
	if err != nil {
		return nil, err
	}
	if is.Over != "" {
		return nil, outcome.Skip(is.Over)
	}
	var all []waiting
	if reminded { // some person of the document; otherwise a request to REMIND, a tenth of the CPU of a schedule, would find nothing
		all, err = r.waiting(ctx, flow.ReminderSubject(who.Source, who.Provider, who.Document, who.Recipient))
		if err != nil {
			return nil, err
		}
	}
	for _, w := range all {
		if w.signer == who && !w.ended && !w.before(is) {
			return nil, outcome.Skip("scheduled")
		}
	}
	next, ok := following(one{signer: who, sending: is.Sending, invited: event.Time(e)}, due, r.now())
	if !ok {
		return nil, outcome.Skip("no-later-time")
	}
	return scheduled(ctx, in, next)
}

// following returns the reminder after o. If several are late, it is the latest of them, so that a person gets one reminder and not three at
// once. It returns false after the last one.
func following(o one, due []time.Duration, now time.Time) (one, bool) {
	next := o
	next.forced = false
	for i := o.number; i < len(due); i++ {
		at := o.invited.Add(due[i])
		if at.After(now) && next.number > o.number { // next is late
			break
		}
		next.number, next.due = i+1, at
		if at.After(now) {
			break
		}
	}
	return next, next.number > o.number
}

// scheduled returns the outputs that schedule a reminder.
func scheduled(ctx context.Context, in stage.Event[*signingv1.SigningEvent], next one) ([]stage.Out, error) {
	message, err := next.schedule(ctx, event.DerivedID(in.ID, flow.Reminder, "schedule/"+next.id()))
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	outs, err := report(ctx, next.scheduledEvent(in.Stored))
	return append(outs, message), err
}

// cancel ends the scheduled reminders of the person, or of all people of the document.
func (r reminder) cancel(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	e := in.Data
	who, single := event.SignerOf(e), false
	filter := flow.RemindersOf(who.Source, who.Provider, who.Document)
	switch {
	case e.GetType() == event.RecipientOptedOut && e.GetAttributes()["channel"] != event.AllChannels:
		return nil, outcome.Skip("other-channels") // the person still wants e-mails
	case e.GetType() == event.OperatorActed && e.GetAttributes()[event.AttributeAction] != event.ActionCancelReminders:
		return nil, outcome.Skip("other-action")
	case e.GetType() == event.OperatorActed && who.Recipient != "":
		single = true
		filter = flow.ReminderSubject(who.Source, who.Provider, who.Document, who.Recipient)
	case e.GetType() == event.RecipientCorrected:
		single = true
		who.Recipient = cmp.Or(e.GetAttributes()[event.AttributePrevious], who.Recipient)
		filter = flow.ReminderSubject(who.Source, who.Provider, who.Document, who.Recipient)
	case (e.GetType() == event.RecipientSigned || e.GetType() == event.RecipientOptedOut) && who.Recipient == "":
		return nil, outcome.Skip("no-recipient-id") // the check when the reminder is due finds out
	case e.GetType() == event.RecipientSigned || e.GetType() == event.RecipientOptedOut:
		single = true
		filter = flow.ReminderSubject(who.Source, who.Provider, who.Document, who.Recipient)
	}
	waiting, err := r.waiting(ctx, filter)
	if err != nil {
		return nil, err
	}
	var outs []stage.Out
	for _, w := range waiting {
		o := w.one
		if w.final || o.signer.Document != who.Document || single && o.signer.Recipient != who.Recipient {
			continue // it was reported, or two ids have one token
		}
		is, err := r.log.Standing(ctx, o.signer)
		if err != nil {
			return nil, err
		}
		ordered, corrected := e.GetType() == event.OperatorActed, e.GetType() == event.RecipientCorrected
		switch {
		case corrected && (w.ended || o.invited.After(event.Time(e))): // a repeated attempt: the new invitation has its own reminders
			continue
		case corrected:
		case is.Over == "" && !ordered, w.before(is): // the document was sent again
			continue
		}
		o.sending = is.Sending
		reason := is.Over
		switch {
		case ordered:
			reason = ByOperator
		case corrected: // the ids of its new reminders are made from the correction
			o.sending, reason = event.DerivedID(e.GetId(), flow.Reminder, "before"), event.OverCorrected
		}
		ended, err := cancelled(ctx, in, o, reason)
		if err != nil {
			return nil, err
		}
		outs = append(outs, ended...)
	}
	if len(outs) == 0 {
		return nil, outcome.Skip("nothing-scheduled")
	}
	return outs, nil
}

// cancelled returns the outputs that cancel a scheduled reminder.
func cancelled(ctx context.Context, in stage.Event[*signingv1.SigningEvent], o one, reason string) ([]stage.Out, error) {
	end, err := o.end(ctx, event.DerivedID(in.ID, flow.Reminder, "end/"+o.id()))
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	if reason == ByOperator {
		end.Header.Del(jetstream.MsgTTLHeader) // a later report of the same invitation must not schedule a reminder again
	}
	outs, err := report(ctx, o.cancelledEvent(in.Stored, reason))
	return append(outs, end), err
}

// waiting is a reminder in REMIND.
type waiting struct {
	one
	final bool // an operator cancelled it
	ended bool // it was cancelled within the last minute, and a later invitation may schedule a reminder again
}

// waiting returns the reminders in REMIND that match a filter, including those that ended within the last minute.
func (r reminder) waiting(ctx context.Context, filter string) ([]waiting, error) {
	var all []waiting
	for m, err := range r.scheduled.Last(ctx, filter) {
		if err != nil {
			return nil, err
		}
		o, err := decode(m.Data)
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		over := m.Header.Get(jetstream.ScheduleHeader) == ""
		brief := m.Header.Get(jetstream.MsgTTLHeader) != ""
		all = append(all, waiting{o, over && !brief, over && brief})
	}
	return all, nil
}
