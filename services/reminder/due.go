package reminder

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// remindersOff is the reason of a reminder that the settings do not want any more.
const remindersOff = "off"

// remind writes reminder.due into the log, unless the person has signed or the document has ended since, and schedules the person's next
// reminder. The enricher asks the provider then, and makes the messages.
func (r reminder) remind(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	is, err := r.log.Standing(ctx, event.SignerOf(in.Data))
	if err != nil {
		return nil, err
	}
	o, err := read(in.Data)
	if err != nil {
		return nil, outcome.PermanentFor("undecodable", err)
	}
	o.sending = is.Sending
	settings := r.settings(in.Data)
	due := settings.Due()
	switch {
	case o.before(is):
		return nil, outcome.Skip("sent-again") // the new sending has its own reminders
	case is.Over != "":
		return report(ctx, o.cancelledEvent(in.Stored, is.Over))
	case len(due) == 0:
		return report(ctx, o.cancelledEvent(in.Stored, remindersOff))
	}
	// Usually the cancellation has replaced the schedule. But if the server was killed before it deleted the replaced message, it publishes that.
	cancelled, err := r.has(ctx, o, event.ReminderCancelled, o.cancelledID())
	if err != nil {
		return nil, err
	}
	if cancelled {
		return nil, outcome.Skip("cancelled")
	}
	now := r.now()
	o = latest(o, due, now)
	made, err := r.has(ctx, o, event.ReminderDue, o.id())
	if err != nil {
		return nil, err
	}
	var outs []stage.Out
	if !made { // otherwise an earlier attempt, or another event about the same invitation, made it
		if err := r.slot(ctx, in.Data, settings); err != nil {
			return nil, err
		}
		if outs, err = report(ctx, o.dueEvent()); err != nil {
			return nil, err
		}
	}
	next, ok := following(o, due, now)
	if !ok {
		return outs, nil
	}
	more, err := scheduled(ctx, in, next)
	return append(outs, more...), err
}

// has reports whether the log has an event about the reminder.
func (r reminder) has(ctx context.Context, o one, eventType, id string) (bool, error) {
	found, err := r.log.Which(ctx, event.SubjectOf(o.signer.Source, o.signer.Provider, eventType, o.signer.Document), event.Span{}, id)
	return found[id], err
}

// latest returns the last of the person's reminders that is due by now, at least o itself.
func latest(o one, due []time.Duration, now time.Time) one {
	for next, ok := following(o, due, now); ok && !next.due.After(now); next, ok = following(o, due, now) {
		o = next
	}
	return o
}

func report(ctx context.Context, e *signingv1.SigningEvent) ([]stage.Out, error) {
	m, err := event.Message(ctx, e)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	return []stage.Out{m}, nil
}
