package enricher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// history is a document's past according to the log.
type history struct {
	event.Past
	// linkless contains the ids of invitations that were suppressed because the provider had no link or no signers, and were not made later.
	linkless map[string]bool
}

// history reads the document's history. The provider's API may lag behind its own callbacks, and the log behind the provider. So an event
// counts if one of them has it. Messages about a completed document depend on the corrections of its people only.
//
// An event is skipped if the log already has an earlier copy of it, because the first copy caused the messages. Ingest does not store a copy
// that it recognizes. But the dedupe store deletes ids after days, and a time without authentication can be changed (docs/adr/0018).
func (e *enricher) history(ctx context.Context, happened *signingv1.SigningEvent, stored time.Time) (history, error) {
	// Each type is read by its exact subject, which the server finds at once. For a filter with "*" it searches up to 8 MB of the log, which
	// takes 20 ms of CPU time.
	types := event.PastTypes
	switch own := happened.GetType(); {
	case own == event.DocumentCompleted:
		types = []string{own, event.RecipientCorrected} // the messages go to the people as corrected
	case !slices.Contains(types, own):
		types = append(slices.Clone(types), own)
	}
	types, err := e.present(ctx, happened, types)
	if err != nil {
		return history{}, err
	}
	var events []*signingv1.SigningEvent
	for _, typ := range types {
		found, err := e.past(ctx, happened, typ, stored)
		if err != nil {
			return history{}, err
		}
		events = append(events, found...)
	}
	past := history{Past: event.PastOf(events)}
	if happened.GetType() == event.DocumentCompleted {
		return history{Past: event.Past{Corrections: past.Corrections}}, nil
	}
	if happened.GetType() == event.RecipientSigned {
		linkless, err := e.linkless(ctx, happened)
		if err != nil {
			return history{}, err
		}
		past.linkless = linkless
	}
	return past, nil
}

// present returns those of the types that the log has of the document. Most documents have one or two of them, so that one request saves the
// requests for the others. The log normally has the event itself. If it does not, because the event has expired or because the server could not
// load a message, all types are read.
func (e *enricher) present(ctx context.Context, happened *signingv1.SigningEvent, types []string) ([]string, error) {
	if len(types) == 1 {
		return types, nil
	}
	subject := func(eventType string) string {
		return event.SubjectOf(happened.GetSource(), happened.GetProvider(), eventType, happened.GetDocument().GetId())
	}
	subjects := make([]string, len(types))
	for i, typ := range types {
		subjects[i] = subject(typ)
	}
	found, err := e.log.Present(ctx, subjects...)
	if err != nil {
		return nil, fmt.Errorf("read the document's past: %w", err)
	}
	if !found[subject(happened.GetType())] {
		return types, nil
	}
	return slices.DeleteFunc(slices.Clone(types), func(typ string) bool { return !found[subject(typ)] }), nil
}

var errRepeated = outcome.Skip("repeated")

// past returns all events of one type that the log has of the document. It fails with errRepeated if one of them is a copy of happened that was
// stored earlier.
func (e *enricher) past(
	ctx context.Context, happened *signingv1.SigningEvent, eventType string, then time.Time,
) ([]*signingv1.SigningEvent, error) {
	subject := event.SubjectOf(happened.GetSource(), happened.GetProvider(), eventType, happened.GetDocument().GetId())
	var events []*signingv1.SigningEvent
	for m, err := range e.log.Messages(ctx, subject, time.Time{}) {
		if err != nil {
			return nil, fmt.Errorf("read the document's past: %w", err)
		}
		if m.Header.Get(jetstream.MsgIDHeader) == happened.GetId() && m.Time.Before(then) {
			return nil, errRepeated
		}
		past, err := event.Decode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read the document's past: %w", err)
		}
		if past.GetDocument().GetId() != happened.GetDocument().GetId() {
			continue // an id that is not a legal token has the same token as the id with the text of its base64url
		}
		events = append(events, past)
	}
	return events, nil
}

func (e *enricher) linkless(ctx context.Context, happened *signingv1.SigningEvent) (map[string]bool, error) {
	suppressed, err := e.past(ctx, happened, event.NotificationSuppressed, time.Time{})
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, s := range suppressed {
		if notice := s.GetNotice(); notice.GetReason() == recipient.NoLink || notice.GetReason() == recipient.NoSigners {
			found[notice.GetNotificationId()] = true
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	requested, err := e.requested(ctx, happened)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(found, func(id string, _ bool) bool { return requested[id] })
	return found, nil
}

// requested returns the ids of the document's messages that were made, according to the log.
func (e *enricher) requested(ctx context.Context, happened *signingv1.SigningEvent) (map[string]bool, error) {
	events, err := e.past(ctx, happened, event.NotificationRequested, time.Time{})
	ids := make(map[string]bool, len(events))
	for _, r := range events {
		ids[r.GetNotice().GetNotificationId()] = true
	}
	return ids, err
}

// over reports whether it is too late for messages about the event, according to the document's end. A completion always has messages; another
// end has messages unless the document is completed.
func over(happened *signingv1.SigningEvent, completed, ended bool) bool {
	switch happened.GetType() {
	case event.DocumentCompleted:
		return false
	case event.DocumentDeclined, event.DocumentVoided, event.DocumentExpired, event.RecipientDeclined:
		return completed
	default:
		return ended
	}
}

// ended reports whether a document has ended, according to the provider's API.
func ended(status pack.Status) bool {
	return status != pack.StatusUnknown && status != pack.StatusOpen
}
