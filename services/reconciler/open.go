package reconciler

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// begins are the types whose events show that the log has a document.
var begins = []string{event.DocumentSent, event.DocumentCreated}

// ends are the types that end a document.
var ends = []string{event.DocumentCompleted, event.DocumentDeclined, event.DocumentVoided, event.DocumentExpired}

// presentAtOnce is the number of documents in one request for their ends: four subjects each, of at most 1,024.
const presentAtOnce = 256

// open returns the ids of the source's documents that are open in the log, or that ended since the run's beginning of time, sorted.
func (a *attempt) open(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	for _, typ := range begins {
		for m, err := range a.log.Messages(ctx, event.DocumentsFilter(a.key.Name, a.key.Provider, typ), time.Time{}) {
			if err != nil {
				return nil, err
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				return nil, err
			}
			if e.GetVerification() != signingv1.Verification_VERIFICATION_NONE && e.GetDocument().GetId() != "" {
				found[e.GetDocument().GetId()] = true
			}
		}
	}
	all := slices.Sorted(maps.Keys(found))
	var open []string
	for some := range slices.Chunk(all, presentAtOnce) {
		var subjects []string
		for _, id := range some {
			for _, typ := range ends {
				subjects = append(subjects, event.SubjectOf(a.key.Name, a.key.Provider, typ, id))
			}
		}
		present, err := a.log.Present(ctx, subjects...)
		if err != nil {
			return nil, err
		}
		for i, id := range some {
			over := false
			for _, subject := range subjects[i*len(ends) : (i+1)*len(ends)] {
				over = over || present[subject]
			}
			if over {
				if over, err = a.endedEarlier(ctx, id); err != nil {
					return nil, err
				}
			}
			if !over {
				open = append(open, id)
			}
		}
	}
	return open, nil
}

// endedEarlier reports whether a document has ended, and did so before the time since which the run looks.
func (a *attempt) endedEarlier(ctx context.Context, id string) (bool, error) {
	var events []*signingv1.SigningEvent
	for stored, err := range a.log.Document(ctx, event.Signer{Source: a.key.Name, Provider: a.key.Provider, Document: id}, event.PastTypes) {
		if err != nil {
			return false, err
		}
		if slices.Contains(ends, stored.Event.GetType()) && !event.Time(stored.Event).Before(a.Run.Since) {
			return false, nil
		}
		events = append(events, stored.Event)
	}
	return event.PastOf(events).Ended, nil
}
