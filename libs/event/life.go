package event

import (
	"context"
	"iter"

	"github.com/nats-io/nats.go/jetstream"
)

// Life yields everything that the log has about a signer's document, in the order of the log; the recipient of who does not matter. A provider
// may report what a person does without naming the document (esign-v1). Such events belong to the document if another event of it names the
// person: a provider's id of a person is about one document.
//
// It reads the document twice, first for its people, and keeps no event in memory: each may carry a callback of 1 MiB.
func (l Log) Life(ctx context.Context, who Signer) iter.Seq2[Stored, error] {
	named, unnamed := SubjectOf(who.Source, who.Provider, anyType, who.Document), SubjectOf(who.Source, who.Provider, anyType, "")
	return func(yield func(Stored, error) bool) {
		people := map[string]bool{}
		for s, err := range decoded(l.Narrow(ctx, named)) {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			if id := s.Event.GetRecipient().GetId(); id != "" && s.Event.GetDocument().GetId() == who.Document {
				people[id] = true
			}
		}
		both := []iter.Seq2[*jetstream.RawStreamMsg, error]{l.Narrow(ctx, named)}
		if len(people) > 0 {
			both = append(both, l.Narrow(ctx, unnamed))
		}
		for s, err := range decoded(merged(both)) {
			if err == nil {
				switch s.Event.GetDocument().GetId() {
				case who.Document:
				case "":
					if !people[s.Event.GetRecipient().GetId()] {
						continue
					}
				default: // two ids may have one token
					continue
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// anyType is the filter for all types, in the place of a type in a subject.
const anyType = "*.*"

// decoded yields messages as events. An error ends it.
func decoded(all iter.Seq2[*jetstream.RawStreamMsg, error]) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for m, err := range all {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			e, err := Decode(m.Data)
			if !yield(Stored{m, e}, err) || err != nil {
				return
			}
		}
	}
}
