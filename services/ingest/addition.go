package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// compare reads the stored events of what the callback reports again. What the memory calls stored and the log does not hold is
// published again: a NATS server that was restored from a backup has lost it, and so would we. A replica that is behind shows
// an event late; then the stream's duplicate window refuses the second one.
func (s *store) compare(ctx context.Context, items []item) (map[string]*signingv1.SigningEvent, error) {
	known, err := s.known(ctx, items)
	if err != nil {
		return nil, err
	}
	missing := false
	for i := range items {
		if it := &items[i]; it.event != nil && it.state == stored && it.confirmed && known[it.id] == nil {
			s.metrics.missing.Inc()
			it.state, missing = fresh, true
		}
	}
	if missing {
		s.publish(ctx, items)
	}
	for _, it := range items {
		if it.event != nil && it.state == stored && known[it.id] == nil && it.event.GetDocument().GetId() != "" {
			return nil, errNotShown
		}
	}
	return known, nil
}

var errNotShown = errors.New("the log does not show yet what it has stored")

// known reads the events of all items that were stored before: once a subject, because all signers of an eSignature v1 account
// share theirs.
func (s *store) known(ctx context.Context, items []item) (map[string]*signingv1.SigningEvent, error) {
	bySubject := map[string][]*item{}
	for i := range items {
		if it := &items[i]; it.event != nil && it.state == stored {
			bySubject[it.msg.Subject] = append(bySubject[it.msg.Subject], it)
		}
	}
	known := map[string]*signingv1.SigningEvent{}
	for subject, group := range bySubject {
		var span event.Span // all of a document's subject, which is short
		if group[0].event.GetDocument().GetId() == "" {
			span = spanOf(group)
		}
		found, err := s.log.Events(ctx, subject, span, idsOf(group)...)
		if err != nil {
			return nil, fmt.Errorf("ask the log what it holds: %w", err)
		}
		maps.Copy(known, found)
	}
	return known, nil
}

// putAdditions stores what the callback adds to events that were stored before: its second report of a fact may bring fields
// that the first did not (docs/adr/0017). A mere retry adds nothing. a is the response without them.
func (s *store) putAdditions(
	ctx context.Context, src source, items []item, known map[string]*signingv1.SigningEvent, a answer, judge func(dedupe.Claim) state,
) answer {
	if a.status >= http.StatusMultipleChoices {
		return a // the callback comes again as a whole
	}
	var added []*signingv1.SigningEvent
	for _, it := range items {
		if it.event == nil || it.state != stored || known[it.id] == nil {
			continue
		}
		if e := pack.Addition(known[it.id], it.event, src.delivery()...); e != nil {
			added = append(added, e)
		}
	}
	if len(added) == 0 {
		return a
	}
	switch b := s.put(ctx, src, reading{events: added}, judge); {
	case b.status >= http.StatusMultipleChoices:
		return b
	case b.outcome == "accepted":
		a.status, a.outcome, a.ids = b.status, b.outcome, append(a.ids, b.ids...)
	}
	return a
}

// delivery returns the fields of the source's callbacks that describe the delivery itself.
func (src source) delivery() []string {
	p, _ := providers.ByName(src.settings.Provider)
	return p.Delivery
}
