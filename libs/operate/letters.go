package operate

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
)

// deadOf returns the document's dead letters. The subjects of DLQ do not name documents, so the board finds them.
func (o *Operator) deadOf(ctx context.Context, d Document) ([]document.DeadLetter, error) {
	var all []document.DeadLetter
	kept, err := o.board.refresh(ctx, o.JS, Filter{What: Dead})
	if err != nil {
		return nil, err
	}
	if !kept {
		for l, err := range (stage.DeadLetters{JS: o.JS}).All(ctx) {
			if err != nil {
				return nil, err
			}
			if a := AboutOf(l); a.Source == d.Source && a.Provider == d.Provider && event.DocumentToken(a.Document) == event.DocumentToken(d.ID) {
				all = append(all, letter(l))
			}
		}
		return all, nil
	}
	for _, n := range o.board.letters(d) {
		l, err := stage.DeadLetters{JS: o.JS}.One(ctx, n)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, letter(l))
	}
	return all, nil
}

func letter(l stage.DeadLetter) document.DeadLetter {
	i, a := itemOfDead(l), AboutOf(l)
	is := document.DeadLetter{
		Key: i.Key, Stage: l.Stage, Person: a.Recipient, Reason: l.Reason, Fault: string(i.Fault), At: l.Buried, Attempts: l.Attempts,
	}
	switch {
	case len(a.Messages) == 1:
		is.Message, is.Channel = a.Messages[0].GetId(), a.Channels[0]
		is.Kind = event.KindName(a.Messages[0].GetKind())
	case len(a.Messages) > 1:
		is.Kind = event.KindName(a.Messages[0].GetKind())
	case strings.Contains(a.What, "."):
		if e, err := event.Decode(l.Data); err == nil {
			is.Event = e.GetId()
		}
	}
	return is
}
