package ingest

import (
	"context"
	"net/http"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// putAdditions stores the fields that the callback adds to events in the log: a second report of a fact may contain fields that the first one
// lacks (docs/adr/0017). A retry adds nothing. a is the response without the additions.
func (s *store) putAdditions(
	ctx context.Context, src source, items []item, kept *signingv1.Callback, a response, judge func(dedupe.Claim) state,
) response {
	if a.status >= http.StatusMultipleChoices {
		return a // the provider sends the whole callback again
	}
	var added []*signingv1.SigningEvent
	for _, it := range items {
		if it.state != stored || it.known == nil {
			continue
		}
		if e := pack.Addition(it.known, it.event, src.delivery()...); e != nil {
			added = append(added, e)
		}
	}
	if len(added) == 0 {
		return a
	}
	b := s.put(ctx, src, reading{events: added, callback: kept}, judge)
	a.done = append(a.done, b.done...)
	switch {
	case b.status >= http.StatusMultipleChoices:
		b.done = a.done
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
