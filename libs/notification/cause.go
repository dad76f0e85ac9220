package notification

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The reasons against a message that does not come from Signrelay.
const (
	causeUnknown = "cause-not-in-log"
	linkForeign  = "link-not-ours"
)

// forged reports whether a message was given up because it does not come from Signrelay. Its fields may contain any text.
func forged(cause string) bool {
	return cause == causeUnknown || cause == linkForeign
}

// causes looks up the events that notifications name as their cause in the log.
type causes struct {
	log   event.Log // SIGNING
	mu    sync.Mutex
	known map[string]bool
}

// mostCauses is the number of causes that are cached, some 200 bytes each. A document with 300 signers has one cause for all its invitations.
const mostCauses = 1000

// causeAttempts is the number of attempts of a message whose cause is not found: 7 s with the stage's backoff. The responding replica of the
// log may lag behind the replica that the enricher read.
const causeAttempts = 4

// verify fails unless the log has the event that caused n.
func (c *causes) verify(ctx context.Context, n *notifyv1.Notification, attempt int) error {
	found, err := c.has(ctx, n)
	if err != nil || found {
		return err
	}
	missing := outcome.Failure(outcome.Ours, causeUnknown, errors.New("the log does not hold the event that the message names as its cause"))
	if attempt < causeAttempts {
		return missing
	}
	return outcome.Permanent(missing)
}

// has reports whether the log has the event that caused n. It looks at the last event of the exact subject, and then at the events from the time at
// which the log stored the cause. Most documents have one event of a type, so that the first look finds it, in a request that concurrent messages
// share. A message of an earlier version has no such fields: it takes requests for each possible subject.
func (c *causes) has(ctx context.Context, n *notifyv1.Notification) (bool, error) {
	subjects, since := causeSubjects(n), n.GetRecordedAt().AsTime()
	if n.GetRecordedAt() == nil {
		since = time.Time{}
	}
	if subject := n.GetEventSubject(); subject != "" {
		if !slices.Contains(subjects, subject) {
			return false, nil
		}
		subjects = []string{subject}
	}
	if n.GetEventStoredAt() != nil {
		since = n.GetEventStoredAt().AsTime()
	}
	for _, subject := range subjects {
		key := subject + " " + n.GetEventId() + " " + n.GetDocumentId()
		if c.remembered(key) {
			return true, nil
		}
		for _, messages := range []iter.Seq2[*jetstream.RawStreamMsg, error]{c.log.Last(ctx, subject), c.log.Few(ctx, subject, since)} {
			stored := false
			for m, err := range messages {
				if err != nil {
					return false, fmt.Errorf("look for a message's cause: %w", err)
				}
				if e, err := event.Decode(m.Data); err == nil && causeOf(n, e) {
					c.remember(key)
					return true, nil
				}
				stored = true
			}
			if !stored { // the subject has no event
				break
			}
		}
	}
	return false, nil
}

// causeOf reports whether e can have caused n.
func causeOf(n *notifyv1.Notification, e *signingv1.SigningEvent) bool {
	document := e.GetDocument().GetId()
	return n.GetEventId() != "" && e.GetId() == n.GetEventId() &&
		e.GetSource() == n.GetSource() && e.GetProvider() == n.GetProvider() &&
		(document == n.GetDocumentId() || document == "" && event.Entity(e.GetType()) == event.EntityRecipient)
}

// causeSubjects returns the subjects of the events that can have caused n: one for each type that such a message may follow. A provider may
// not report a person's document, so there are also the subjects without a document. There are none if n's source or provider is not a valid
// name.
func causeSubjects(n *notifyv1.Notification) []string {
	if !named(n) {
		return nil
	}
	var subjects []string
	for _, typ := range event.KindOf(n.GetKind()).After {
		subjects = append(subjects, event.SubjectOf(n.GetSource(), n.GetProvider(), typ, n.GetDocumentId()))
		if event.Entity(typ) == event.EntityRecipient && n.GetDocumentId() != "" {
			subjects = append(subjects, event.SubjectOf(n.GetSource(), n.GetProvider(), typ, ""))
		}
	}
	return subjects
}

// named reports whether n's source and provider are valid names. Without them its events have no subject.
func named(n *notifyv1.Notification) bool {
	return names.MatchString(n.GetSource()) && names.MatchString(n.GetProvider())
}

func (c *causes) remembered(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[key]
}

func (c *causes) remember(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostCauses {
		c.known = map[string]bool{}
	}
	c.known[key] = true
}

// verify fails unless n is a message that Signrelay makes: its link is ours, and the log has its cause.
func (d delivery) verify(ctx context.Context, in stage.Event[*notifyv1.Notification]) error {
	if link := in.Data.GetLink(); link != nil && !d.Links.Ours(link.GetShort()) {
		return outcome.Refused(outcome.Ours, linkForeign, errors.New("the message's link is not one that the shortener in the settings makes"))
	}
	if flow.Replies(in.Subject) && !event.KindOf(in.Data.GetKind()).Replies {
		return outcome.Refused(outcome.Ours, causeUnknown, errors.New("the message is on the subject of replies to texts, and its kind is no reply"))
	}
	return d.causes.verify(ctx, in.Data, in.Attempt)
}
