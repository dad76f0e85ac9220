package operate

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// looks remembers which looks and refusals of the current hour are in the log.
type looks struct {
	mutex sync.Mutex
	hour  time.Time
	known map[string]bool
}

// Look stores that a user looked at the personal data of a document, at most once an hour for each user and document. The caller must not show the
// data if it fails.
func (o *Operator) Look(ctx context.Context, d Document, by string) error {
	return o.once(ctx, d, Look, by)
}

// Refused stores that a user tried an action on a document without its role, at most once an hour for each user, document and action.
func (o *Operator) Refused(ctx context.Context, d Document, tried Action, by string) error {
	return o.once(ctx, d, RefusedPrefix+tried, by)
}

// RefusedPrefix is before the action in the event of an action that was refused: "refused-erase".
const RefusedPrefix Action = "refused-"

// once stores an event of the user about the document, at most once an hour.
func (o *Operator) once(ctx context.Context, d Document, what Action, by string) error {
	now := o.now().UTC()
	hour := now.Truncate(time.Hour)
	id := event.DerivedID(strings.Join([]string{d.Source, d.Provider, event.DocumentToken(d.ID), hour.Format(time.RFC3339)}, " "), "operate", string(what)+"/"+by)
	l := &o.looks
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.hour.Equal(hour) {
		l.hour, l.known = hour, map[string]bool{}
	}
	if l.known[id] {
		return nil
	}
	e := aboutEventOf(About{Source: d.Source, Provider: d.Provider, Document: d.ID}, event.OperatorActed, now)
	if err := o.publish(ctx, acted(e, id, what, Order{By: by}, 1), true); err != nil {
		return err
	}
	l.known[id] = true
	return nil
}
