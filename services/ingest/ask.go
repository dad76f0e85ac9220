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

// zoneError bounds the error of an event's own time: without a zone it is wrong by up to 14 hours, rounded up to a day.
const zoneError = 24 * time.Hour

// distrust handles an item that the dedupe store lacks but may have deleted: the item's own time may be before the store's data, in the
// future, or missing (docs/adr/0018). Then the whole log is searched for it. A message that should be the first on its document's subject
// needs no search, because the stream refuses it if it is not the first.
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

// wrongLast contains the stream's error codes for a message that is not the first on its subject.
var wrongLast = []jetstream.ErrorCode{jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant}

// conditional returns the message. If it must be the first on its subject, a header makes the stream refuse it otherwise.
func (it *item) conditional() *nats.Msg {
	if it.first {
		it.msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	}
	return it.msg
}

// notFirst changes a refused item so that the log is searched for it.
func (it *item) notFirst() {
	it.msg.Header.Del(jetstream.ExpectedLastSubjSeqHeader)
	it.first, it.state, it.span = false, everUnsure, event.Span{}
}

// markOlder marks new events that are older than the log. Such an event may have been in the log, with its messages sent, and may have expired.
// So the enricher sends no messages for a marked event. Nothing is marked if the log still has every event that it ever stored.
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

// asks reports whether ask must search the item's stream before the item is published.
func (it *item) asks() bool { return it.state == unsure || it.state == everUnsure }

// ask searches the streams for all items that wants selects, and decides the unsure ones. It sends one request for each subject: all signers
// of an eSignature v1 account share a subject.
func (s *store) ask(ctx context.Context, items []item, wants func(*item) bool) {
	var bySubject map[string][]*item
	for i := range items {
		if it := &items[i]; wants(it) {
			if bySubject == nil {
				bySubject = make(map[string][]*item)
			}
			bySubject[it.msg.Subject] = append(bySubject[it.msg.Subject], it)
		}
	}
	if bySubject == nil {
		return
	}
	var all errgroup.Group
	all.SetLimit(maxSearches)
	for subject, group := range bySubject {
		s.metrics.logAsked.Add(float64(len(group)))
		all.Go(func() error {
			err := s.askSubject(ctx, subject, group)
			for _, it := range group {
				it.decide(err)
			}
			return nil
		})
	}
	_ = all.Wait() // each item has its own error
}

// maxSearches bounds the concurrent searches of one callback: a batch can contain thousands of documents.
const maxSearches = 32

func (it *item) decide(err error) {
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
		return fmt.Errorf("search the log: %w", err)
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

// spanOf returns the time in which the items of one subject may have been stored. The subject of a document has few messages and is read
// completely. A shared subject is read for the span from the dedupe store, but no longer than callbacks are retried, and from a day before
// the events.
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

// compare searches the streams for the items that were stored before. An item that the dedupe store confirms but the stream lacks is
// published again: NATS may have been restored from a backup, or an attacker may have written to the dedupe store. A replica that lags behind
// returns a message late. Then the stream's duplicate window refuses the second one. The window also refuses an event if another user of the
// stream used its id for a different message. So an event that the stream reports as a duplicate but does not return counts as not stored.
func (s *store) compare(ctx context.Context, items []item, kept *signingv1.Callback) error {
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
		s.publish(ctx, items, kept)
	}
	for _, it := range items {
		if it.state == stored && !it.found {
			return errNotShown
		}
	}
	return nil
}

var errNotShown = errors.New("the log does not yet return an event that it stored")
