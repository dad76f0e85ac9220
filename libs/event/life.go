package event

import (
	"context"
	"iter"
	"time"
)

// Life yields everything that the log has about a signer's document, in the order of the log; the recipient of who does not matter. A provider
// may report what a person does without naming the document (esign-v1). Such events belong to the document if another event of it names the
// person: a provider's id of a person is about one document.
//
// It searches the log twice, by filters with "*" (38 ms each at a million events). So only commands of operators use it.
func (l Log) Life(ctx context.Context, who Signer) iter.Seq2[Stored, error] {
	named := SubjectOf(who.Source, who.Provider, anyType, who.Document)
	ofDocument := func(s Stored) bool { return s.Event.GetDocument().GetId() == who.Document } // two ids may have one token
	return func(yield func(Stored, error) bool) {
		people := map[string]bool{}
		for s, err := range l.stored(ctx, named, ofDocument) {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			if id := s.Event.GetRecipient().GetId(); id != "" {
				people[id] = true
			}
		}
		unnamed := l.stored(ctx, SubjectOf(who.Source, who.Provider, anyType, ""), func(s Stored) bool { return people[s.Event.GetRecipient().GetId()] })
		for s, err := range merged(l.stored(ctx, named, ofDocument), unnamed) {
			if !yield(s, err) {
				return
			}
		}
	}
}

// anyType is the filter for all types, in the place of a type in a subject.
const anyType = "*.*"

// stored yields the events of a filter that are wanted.
func (l Log) stored(ctx context.Context, filter string, wanted func(Stored) bool) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for m, err := range l.Messages(ctx, filter, time.Time{}) {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			e, err := Decode(m.Data)
			s := Stored{m, e}
			if err == nil && !wanted(s) {
				continue
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// merged yields the events of two sequences in the order of the log. An error ends it.
func merged(a, b iter.Seq2[Stored, error]) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		nextA, stopA := iter.Pull2(a)
		defer stopA()
		nextB, stopB := iter.Pull2(b)
		defer stopB()
		one, errA, okA := nextA()
		two, errB, okB := nextB()
		for okA || okB {
			switch {
			case okA && errA != nil:
				yield(one, errA)
				return
			case okB && errB != nil:
				yield(two, errB)
				return
			case okA && (!okB || one.Sequence < two.Sequence):
				if !yield(one, nil) {
					return
				}
				one, errA, okA = nextA()
			default:
				if !yield(two, nil) {
					return
				}
				two, errB, okB = nextB()
			}
		}
	}
}
