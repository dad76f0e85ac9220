package ingest

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// putAdditions stores what the callback adds to events that were stored before: its second report of a fact may bring fields
// that the first did not (docs/adr/0017). A mere retry adds nothing. a is the answer without them.
func (s *store) putAdditions(ctx context.Context, src source, items []item, a answer, judge func(dedupe.Claim) state) answer {
	if a.status >= http.StatusMultipleChoices {
		return a // the callback comes again as a whole
	}
	added, err := s.additions(ctx, src, items)
	if err != nil {
		return unavailable("log-away", err)
	}
	switch b := s.put(ctx, src, reading{events: added}, judge); {
	case b.status >= http.StatusMultipleChoices:
		return b
	case b.outcome == "accepted" && len(added) > 0:
		a.status, a.outcome, a.ids = b.status, b.outcome, append(a.ids, b.ids...)
	}
	return a
}

// additions reads the stored events of what the callback told again: once a subject, because all signers of an eSignature v1
// account share theirs.
func (s *store) additions(ctx context.Context, src source, items []item) ([]*signingv1.SigningEvent, error) {
	bySubject := map[string][]*item{}
	for i := range items {
		if it := &items[i]; it.event != nil && it.state == stored && pack.Addition(nil, it.event) != nil {
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
	var added []*signingv1.SigningEvent
	for _, it := range items {
		if it.event == nil || it.state != stored {
			continue
		}
		if e := pack.Addition(known[it.id], it.event, src.delivery()...); e != nil {
			added = append(added, e)
		}
	}
	return added, nil
}

// delivery names the fields of the source's callbacks that tell of their delivery.
func (src source) delivery() []string {
	p, _ := providers.ByName(src.settings.Provider)
	return p.Delivery
}
