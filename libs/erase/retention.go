package erase

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Expired returns the documents of a source whose last event was stored before a time. Documents under a legal hold are not among them.
func Expired(ctx context.Context, js jetstream.JetStream, of Source, before time.Time) (map[Document]bool, error) {
	held, err := Holds(ctx, js)
	if err != nil {
		return nil, err
	}
	expired, first := map[Document]bool{}, true
	for m, err := range (event.Log{JS: js, Stream: flow.Signing}).Whole(ctx, event.SourceFilter(of.Name, of.Provider), 0) {
		if err != nil {
			return nil, err
		}
		if first && !m.Time.Before(before) {
			return nil, nil
		}
		first = false
		a, ok := event.ParseSubject(m.Subject)
		d := Document{a.Source, a.Provider, a.Document}
		switch _, isHeld := held[d]; {
		case !ok, a.Document == event.None, a.Type == event.DocumentErased, isHeld:
		case m.Time.Before(before):
			expired[d] = true
		default:
			delete(expired, d)
		}
	}
	return expired, nil
}
