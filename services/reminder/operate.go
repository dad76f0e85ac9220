package reminder

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Scheduled is a reminder that the server will publish when it is due. It contains no personal data.
type Scheduled struct {
	Source    string    `json:"source"`
	Provider  string    `json:"provider"`
	Document  string    `json:"document"`
	Recipient string    `json:"recipient"`
	Number    int       `json:"number"` // from 1
	Due       time.Time `json:"due"`
	Invited   time.Time `json:"invited"`

	of one
}

// All lists the scheduled reminders of a document, by its provider's id, or of all documents if it is empty, in no particular order.
func All(ctx context.Context, js jetstream.JetStream, document string) ([]Scheduled, error) {
	var all []Scheduled
	for m, err := range (event.Log{JS: js, Stream: flow.Remind}).Messages(ctx, flow.RemindersOf("*", "*", document), time.Time{}) {
		if err != nil {
			return nil, err
		}
		if m.Header.Get(jetstream.ScheduleHeader) == "" { // it was cancelled
			continue
		}
		o, err := decode(m.Data)
		if err != nil {
			return nil, err
		}
		if s := o.signer; document == "" || s.Document == document {
			all = append(all, Scheduled{s.Source, s.Provider, s.Document, s.Recipient, o.number, o.due.UTC(), o.invited.UTC(), o})
		}
	}
	return all, nil
}

// ByOperator is the reason of a reminder that an operator cancelled.
const ByOperator = "operator"

// Cancel ends the reminders of a person on a document, also the later ones, until the document is sent again.
func Cancel(ctx context.Context, js jetstream.JetStream, s Scheduled) error {
	o, err := s.current(ctx, js)
	if err != nil {
		return err
	}
	end, err := o.end(ctx, event.DerivedID(o.id(), flow.Reminder, "end/"+ByOperator))
	if err != nil {
		return err
	}
	end.Header.Del(jetstream.MsgTTLHeader) // a later report of the same invitation must not schedule a reminder again
	report, err := event.Message(ctx, o.cancelledEvent(time.Now(), ByOperator))
	if err != nil {
		return err
	}
	if _, err = js.PublishMsg(ctx, end); err == nil {
		_, err = js.PublishMsg(ctx, report)
	}
	return err
}

// Now makes a person's next reminder due at once. The following one keeps its time.
func Now(ctx context.Context, js jetstream.JetStream, s Scheduled) error {
	o, err := s.current(ctx, js)
	if err != nil {
		return err
	}
	o.due, o.forced = time.Now(), true
	m, err := o.schedule(ctx, event.DerivedID(o.id(), flow.Reminder, "now"))
	if err != nil {
		return err
	}
	_, err = js.PublishMsg(ctx, m)
	return err
}

// current returns the reminder with its sending.
func (s Scheduled) current(ctx context.Context, js jetstream.JetStream) (one, error) {
	is, err := event.Log{JS: js, Stream: flow.Signing}.Standing(ctx, s.of.signer)
	if err != nil {
		return one{}, err
	}
	o := s.of
	if o.sending = is.Sending; o.before(is) {
		return one{}, errors.New("the document was sent again since this reminder was scheduled")
	}
	return o, nil
}
