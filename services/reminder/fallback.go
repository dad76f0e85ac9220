package reminder

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// fallbacks finds invitations and reminders that did not arrive on one channel. A text that was sent has a scheduled message in REMIND, which
// the server publishes when its receipt should have come. A receipt cancels it. The enricher makes the messages of notification.fallback.
type fallbacks struct {
	sources   func() map[sourceKey]config.Source // of the current settings
	log       event.Log                          // SIGNING
	scheduled event.Log                          // REMIND
	now       func() time.Time
}

// follow schedules the fallback of a message that waits for its receipt, cancels it, or looks at the log at once if a message failed.
func (f fallbacks) follow(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	e := in.Data
	who := event.SignerOf(e)
	switch {
	case who.Document == "":
		return nil, outcome.Skip("no-document")
	case e.GetVerification() == signingv1.Verification_VERIFICATION_NONE:
		return nil, outcome.Skip("unconfirmed") // a forged event must not stop a fallback
	case event.EndsReminders(e.GetType()):
		return f.cancelAll(ctx, in, who)
	case who.Recipient == "":
		return nil, outcome.Skip("no-recipient-id") // nothing shows that this person has signed
	case !event.KindNamed(e.GetNotice().GetKind()).Asks:
		return nil, outcome.Skip("no-invitation")
	case f.now().Sub(event.Time(e)) > flow.LogReaches:
		return nil, outcome.Skip(notification.OlderThanLog)
	}
	switch e.GetType() {
	case event.NotificationSent:
		return f.schedule(ctx, in)
	case event.NotificationDelivered:
		return f.cancel(ctx, in, flow.FallbackSubject(who.Source, who.Provider, who.Document, who.Recipient, e.GetNotice().GetNotificationId()))
	default:
		return f.look(ctx, in, false)
	}
}

// overdue looks at the log when a message should have its receipt.
func (f fallbacks) overdue(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	return f.look(ctx, in, true)
}

// schedule makes the server report when the message should have its receipt.
func (f fallbacks) schedule(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	src := f.source(in.Data)
	switch {
	case !src.Fallback.On():
		return nil, outcome.Skip("not-wanted")
	case !notification.ExpectsReceipt(in.Data):
		return nil, outcome.Skip("no-receipts")
	}
	m, err := waitingMessage(ctx, in.Data, event.DerivedID(in.ID, fallback.IDs, "schedule"))
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	who := event.SignerOf(in.Data)
	flow.Schedule(m, fallback.Due(src, in.Data.GetNotice().GetKind(), event.Time(in.Data)),
		flow.DueFallbackSubject(who.Source, who.Provider, who.Document, who.Recipient, in.Data.GetNotice().GetNotificationId()))
	return []stage.Out{m}, nil
}

// look returns the notification.fallback that follows from an event about a message.
func (f fallbacks) look(ctx context.Context, in stage.Event[*signingv1.SigningEvent], overdue bool) ([]stage.Out, error) {
	src := f.source(in.Data)
	if !src.Fallback.On() {
		return nil, outcome.Skip("not-wanted")
	}
	e, err := fallback.Look{Log: f.log, Now: f.now, Source: src}.AtMessage(ctx, in.Data, in.Stored, overdue)
	if err != nil {
		return nil, err
	}
	return report(ctx, e)
}

// source returns the settings of e's source; the zero value if there are none.
func (f fallbacks) source(e *signingv1.SigningEvent) config.Source {
	return f.sources()[sourceKey{e.GetSource(), e.GetProvider()}]
}

// cancelAll cancels the scheduled fallbacks of a person who has signed or declined, or of all people of a document that has ended.
func (f fallbacks) cancelAll(ctx context.Context, in stage.Event[*signingv1.SigningEvent], who event.Signer) ([]stage.Out, error) {
	if event.Entity(in.Data.GetType()) == event.EntityRecipient && who.Recipient == "" {
		return nil, outcome.Skip("no-recipient-id") // the look at the log finds out
	}
	recipient := who.Recipient
	if in.Data.GetType() != event.RecipientSigned { // a person's decline may end the document
		recipient = ""
	}
	return f.cancel(ctx, in, flow.FallbacksOf(who.Source, who.Provider, who.Document, recipient))
}

// cancel replaces the schedules that match a filter. If the document still waits for the person, because it was sent again, the fallback stays.
func (f fallbacks) cancel(ctx context.Context, in stage.Event[*signingv1.SigningEvent], filter string) ([]stage.Out, error) {
	var outs []stage.Out
	for m, err := range f.scheduled.Last(ctx, filter) {
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		if m.Header.Get(jetstream.ScheduleHeader) == "" || e.GetDocument().GetId() != in.Data.GetDocument().GetId() {
			continue // it was cancelled, or two ids have one token
		}
		if in.Data.GetType() != event.NotificationDelivered {
			if is, err := f.log.Standing(ctx, event.SignerOf(e)); err != nil {
				return nil, err
			} else if is.Over == "" {
				continue
			}
		}
		end, err := waitingMessage(ctx, e, event.DerivedID(in.ID, fallback.IDs, "end/"+e.GetNotice().GetNotificationId()))
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		end.Header.Set(jetstream.MsgTTLHeader, endsIn.String())
		outs = append(outs, end)
	}
	if len(outs) == 0 {
		return nil, outcome.Skip("nothing-scheduled")
	}
	return outs, nil
}

// waitingMessage returns a message with the content of notification.sent, on the one subject of the fallback of that notification: it replaces
// the earlier message there.
func waitingMessage(ctx context.Context, sent *signingv1.SigningEvent, msgID string) (stage.Out, error) {
	m, err := event.Message(ctx, sent)
	if err != nil {
		return nil, err
	}
	who := event.SignerOf(sent)
	m.Subject = flow.FallbackSubject(who.Source, who.Provider, who.Document, who.Recipient, sent.GetNotice().GetNotificationId())
	m.Header.Set(jetstream.MsgIDHeader, msgID)
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return m, nil
}
