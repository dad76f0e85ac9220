package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// zoneError is how wrong an event's own time can be: providers that name no zone are up to 14 hours off, and a day is round.
const zoneError = 24 * time.Hour

// distrust is for an item that the memory does not know but may have forgotten: its own time is not certainly within the memory's
// reach, or in the future, or missing (docs/adr/0018). The whole log is asked for it. A message that is the first on its document's
// subject needs no question: the stream itself is to refuse it if it is not.
func (it *item) distrust(now time.Time) {
	if it.event == nil || it.state == everUnsure {
		return
	}
	happened := it.event.GetOccurredAt()
	age := now.Sub(happened.AsTime())
	usable := happened != nil && age > -zoneError
	switch {
	case usable && age < flow.Remember-zoneError:
	case it.state == fresh && it.event.GetDocument().GetId() != "":
		it.first = true
	default:
		it.state, it.span = everUnsure, event.Span{}
		if usable {
			it.span.Since = happened.AsTime().Add(-zoneError)
		}
	}
}

// wrongLast is the stream's refusal of a message that is not the first on its subject.
var wrongLast = []jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant}

// conditional has the stream refuse the message if it is not the first on its subject, where that is wanted.
func (it *item) conditional() *nats.Msg {
	if it.first {
		it.msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	}
	return it.msg
}

// notFirst makes a refused item one of which the log is asked.
func (it *item) notFirst() {
	it.msg.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
	it.first, it.state, it.span = false, everUnsure, event.Span{}
}

// markOlder marks the events that are to be stored and happened before the oldest event of the log. If the log does not hold them,
// that proves nothing: it may have forgotten them, and that their messages were sent. The enricher sends none then. A log that
// still holds all that it ever stored has forgotten nothing.
func (s *store) markOlder(ctx context.Context, items []item) {
	now := time.Now()
	complete := sync.OnceValues(func() (bool, error) { return s.log.Complete(ctx) })
	for i := range items {
		it := &items[i]
		happened := it.event.GetOccurredAt()
		if it.state != fresh || happened == nil || now.Sub(happened.AsTime()) < flow.LogReaches {
			continue
		}
		all, err := complete()
		if err == nil && !all {
			if it.event.Attributes == nil {
				it.event.Attributes = map[string]string{}
			}
			it.event.Attributes[pack.OlderThanLog] = "true"
			it.msg, err = event.Message(ctx, it.event)
		}
		if err != nil {
			it.state, it.err = refused, err
		}
	}
}

// asks reports whether the item's stream must be asked before the item is published.
func (it *item) asks() bool { return it.state == unsure || it.state == everUnsure }

// ask asks the streams for all items that want it, and decides those that were unsure. It asks once a subject: all of an eSignature v1
// account's signers share theirs.
func (s *store) ask(ctx context.Context, items []item, wants func(*item) bool) {
	bySubject := make(map[string][]*item)
	for i := range items {
		if it := &items[i]; wants(it) {
			bySubject[it.msg.Subject] = append(bySubject[it.msg.Subject], it)
		}
	}
	var all errgroup.Group
	all.SetLimit(asksAtOnce)
	for subject, group := range bySubject {
		s.metrics.logAsked.Add(float64(len(group)))
		all.Go(func() error {
			err := s.askSubject(ctx, subject, group)
			for _, it := range group {
				it.answered(err)
			}
			return nil
		})
	}
	_ = all.Wait() // an item's error is its own
}

// asksAtOnce is how many subjects one callback asks for at the same time: a batch can have thousands, of as many documents.
const asksAtOnce = 32

func (it *item) answered(err error) {
	it.err = err
	switch {
	case !it.asks():
	case err != nil:
		it.state = refused
	case it.found:
		it.state = stored
	default:
		it.state = fresh
	}
}

func (s *store) askSubject(ctx context.Context, subject string, group []*item) error {
	var err error
	found, known := map[string]bool{}, map[string]*signingv1.SigningEvent{}
	if ids := idsOf(group); group[0].event == nil {
		found, err = s.quarantine.Which(ctx, subject, spanOf(group), ids...)
	} else {
		known, err = s.log.Events(ctx, subject, spanOf(group), ids...)
	}
	if err != nil {
		return fmt.Errorf("ask the log what it holds: %w", err)
	}
	for _, it := range group {
		it.known = known[it.id]
		it.found = found[it.id] || it.known != nil
	}
	return nil
}

func idsOf(items []*item) []string {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.id
	}
	return ids
}

// spanOf returns when the items of one subject may have been stored. The subject of a document is short, and read as a whole. A
// shared one is read for as long as the memory says, but no longer than callbacks are retried, and from a day before the events happened.
func spanOf(items []*item) event.Span {
	if items[0].event.GetDocument().GetId() != "" {
		return event.Span{}
	}
	now := time.Now()
	all := items[0].within(now)
	for _, it := range items[1:] {
		in := it.within(now)
		if in.Since.Before(all.Since) {
			all.Since = in.Since
		}
		if !all.Until.IsZero() && (in.Until.IsZero() || in.Until.After(all.Until)) {
			all.Until = in.Until
		}
	}
	return all
}

func (it *item) within(now time.Time) event.Span {
	if it.state == everUnsure {
		return it.span
	}
	in := it.span
	earliest := now.Add(-flow.Remember)
	if happened := it.event.GetOccurredAt(); happened != nil {
		if t := happened.AsTime().Add(-zoneError); t.After(earliest) && t.Before(now.Add(-zoneError)) {
			earliest = t
		}
	}
	if in.Since.Before(earliest) {
		in.Since = earliest
	}
	return in
}

// compare reads what the streams hold of the items that were stored before. What the memory calls stored and the stream does not
// hold is published again: a NATS server that was restored from a backup has lost it, or somebody wrote to the memory who must
// not. A replica that is behind shows a message late; then the stream's duplicate window refuses the second one. It also refuses an event
// whose id another user of the stream gave to a message of his own: so an event that the stream calls stored and does not show is not.
func (s *store) compare(ctx context.Context, items []item) error {
	s.ask(ctx, items, func(it *item) bool { return it.state == stored && !it.found })
	missing := false
	for i := range items {
		switch it := &items[i]; {
		case it.state != stored || it.found:
		case it.err != nil:
			return it.err
		case it.confirmed:
			s.metrics.missing.Inc()
			it.state, missing = fresh, true
		}
	}
	if missing {
		s.publish(ctx, items)
	}
	for _, it := range items {
		if it.state == stored && !it.found {
			return errNotShown
		}
	}
	return nil
}

var errNotShown = errors.New("the log does not yet return an event that it stored")
