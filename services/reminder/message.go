package reminder

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The attributes of the reminder.* events.
const (
	attributeNumber  = "number"  // 1 for a person's first reminder in a sending
	attributeDue     = "due"     // when it is due, RFC 3339
	attributeInvited = "invited" // when the person got the invitation, RFC 3339
	attributeReason  = "reason"  // of a cancellation
	attributeBy      = "by"      // ByOperator, if an operator made it due
)

// one is a reminder of a person.
type one struct {
	signer  event.Signer
	sending string    // the id of the document.sent to which it belongs
	invited time.Time // when the person got the document
	number  int       // from 1
	due     time.Time
	forced  bool // an operator made it due
}

// id returns the reminder's id. Two events may report one invitation (the provider's and ours, on two channels), so it is made from the
// sending and not from the event.
func (o one) id() string {
	return event.DerivedID(o.sending, flow.Reminder, o.signer.Recipient+"/"+strconv.Itoa(o.number))
}

// before reports whether the reminder belongs to a sending before the latest one. Providers' callbacks arrive in any order: the report that a
// person got the document may have an earlier time than the document's own, and may be handled before it. So a sending is another one only if
// it is clearly later than the invitation.
func (o one) before(is event.Standing) bool {
	return !o.forced && is.Sent.After(o.invited.Add(min(o.due.Sub(o.invited)/2, time.Hour)))
}

// event returns an event about the reminder.
func (o one) event(eventType, id string, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Id: id, Source: o.signer.Source, Provider: o.signer.Provider, Type: eventType,
		OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document: &signingv1.Document{Id: o.signer.Document}, Recipient: &signingv1.Recipient{Id: o.signer.Recipient},
		Attributes: map[string]string{
			attributeNumber:  strconv.Itoa(o.number),
			attributeDue:     o.due.UTC().Format(time.RFC3339Nano),
			attributeInvited: o.invited.UTC().Format(time.RFC3339Nano),
		},
	}
	if o.forced {
		e.Attributes[attributeBy] = ByOperator
	}
	return e
}

// dueEvent returns reminder.due. It is also the content of the scheduled message.
func (o one) dueEvent() *signingv1.SigningEvent { return o.event(event.ReminderDue, o.id(), o.due) }

func (o one) scheduledEvent(at time.Time) *signingv1.SigningEvent {
	return o.event(event.ReminderScheduled, event.DerivedID(o.id(), flow.Reminder, "scheduled"), at)
}

func (o one) cancelledEvent(at time.Time, reason string) *signingv1.SigningEvent {
	e := o.event(event.ReminderCancelled, o.cancelledID(), at)
	e.Attributes[attributeReason] = reason
	return e
}

func (o one) cancelledID() string { return event.DerivedID(o.id(), flow.Reminder, "cancelled") }

// decode returns the reminder of a message in REMIND, without its sending.
func decode(data []byte) (one, error) {
	e, err := event.Decode(data)
	if err != nil {
		return one{}, fmt.Errorf("read a scheduled reminder: %w", err)
	}
	return read(e)
}

// read returns the reminder of a reminder.due, without its sending.
func read(e *signingv1.SigningEvent) (one, error) {
	o := one{signer: event.SignerOf(e), due: event.Time(e), forced: e.GetAttributes()[attributeBy] == ByOperator}
	var err error
	if e.GetType() != event.ReminderDue || o.signer.Recipient == "" || o.signer.Document == "" {
		return one{}, fmt.Errorf("not a reminder: type %q", e.GetType())
	}
	if o.number, err = strconv.Atoi(e.GetAttributes()[attributeNumber]); err != nil || o.number < 1 {
		return one{}, fmt.Errorf("not a reminder: its number is %q", e.GetAttributes()[attributeNumber])
	}
	if o.invited, err = time.Parse(time.RFC3339Nano, e.GetAttributes()[attributeInvited]); err != nil {
		return one{}, fmt.Errorf("not a reminder: when the person was invited: %w", err)
	}
	return o, nil
}

// message returns a message with the reminder's content, on the one subject of the person's reminders: it replaces the earlier message there.
func (o one) message(ctx context.Context, msgID string) (stage.Out, error) {
	m, err := event.Message(ctx, o.dueEvent())
	if err != nil {
		return nil, err
	}
	s := o.signer
	m.Subject = flow.ReminderSubject(s.Source, s.Provider, s.Document, s.Recipient)
	m.Header.Set(jetstream.MsgIDHeader, msgID)
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return m, nil
}

// schedule returns the message that makes the server publish the reminder when it is due.
func (o one) schedule(ctx context.Context, msgID string) (stage.Out, error) {
	m, err := o.message(ctx, msgID)
	if err != nil {
		return nil, err
	}
	s := o.signer
	flow.Schedule(m, o.due, flow.DueSubject(s.Source, s.Provider, s.Document, s.Recipient))
	return m, nil
}

// endsIn is the time for which the stream keeps the end of a schedule: long enough for a redelivery of the event that ended it, which makes
// the same outputs, and shorter than flow.DuplicateWindow, so that the log drops them.
const endsIn = time.Minute

// end returns the message that replaces the schedule, so that the server does not publish the reminder. A second attempt makes the same outputs
// from its content.
func (o one) end(ctx context.Context, msgID string) (stage.Out, error) {
	m, err := o.message(ctx, msgID)
	if err != nil {
		return nil, err
	}
	m.Header.Set(jetstream.MsgTTLHeader, endsIn.String())
	return m, nil
}
