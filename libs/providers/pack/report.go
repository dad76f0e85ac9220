package pack

import (
	"context"
	"slices"
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Reporter is an API that reports what the provider knows about a document, so that facts without a callback are found. Its errors are those
// of API. An API that is no Reporter is not reconciled.
type Reporter interface {
	// Reports requests documents by their ids, at most Reporting.AtOnce. The result lacks a document that the provider does not know any more, or
	// that the settings exclude.
	Reports(ctx context.Context, ids ...string) ([]Report, error)

	// Reporting returns the properties of the provider's reports.
	Reporting() Reporting
}

// Lister is a Reporter that also lists documents, so that a document without any callback is found.
type Lister interface {
	Reporter

	// List requests one page: of the documents that are open, and of those that changed since a time. An empty cursor requests the first page.
	// A document may be on two pages, and may be skipped if the list changes while it is read; the caller then lists again.
	List(ctx context.Context, since time.Time, cursor string) (Page, error)
}

// Reporting has the properties of a provider's reports.
type Reporting struct {
	AtOnce int // the number of documents in one call of Reports
	// Retries is the time for which the provider repeats a callback. A fact whose id may differ from the callback's is published only after it.
	Retries time.Duration
}

// Page is a part of a list.
type Page struct {
	Reports []Report
	Next    string // the cursor of the next page; empty after the last one
}

// Report is what the provider knows about one document.
type Report struct {
	Document string // the provider's id
	Status   Status
	Facts    []Fact   // in the order in which they happened
	Unsigned []string // the ids of the people who have not signed, as far as the API returns it
	// Brief is true if Reports returns times that this report lacks.
	Brief bool
}

// Fact is something that happened to a document, as the canonical event that a callback would have become: with its id, and with the
// provider's own time. The event has no time if the provider does not return one: the time of the request is not the time of the fact.
type Fact struct {
	Event *signingv1.SigningEvent
	// Exact is true if every callback about the fact has this id. The id of another fact needs data of the callback that the API does not
	// return. It has the id of a callback without that data, and is compared with the log by its type, person and document.
	Exact bool
	By    time.Time // the fact had happened by then; zero if the provider does not say
}

// ReconciledAttribute is the attribute of an event that no callback brought: the id of the reconciliation that found it.
const ReconciledAttribute = "signrelay.reconciled"

// InOrder sorts facts by their times. A fact without a time keeps its place.
func InOrder(facts []Fact) {
	var timed []int
	for i, f := range facts {
		if f.Event.GetOccurredAt() != nil {
			timed = append(timed, i)
		}
	}
	sorted := make([]Fact, len(timed))
	for i, at := range timed {
		sorted[i] = facts[at]
	}
	slices.SortStableFunc(sorted, func(a, b Fact) int { return a.Event.GetOccurredAt().AsTime().Compare(b.Event.GetOccurredAt().AsTime()) })
	for i, at := range timed {
		facts[at] = sorted[i]
	}
}
