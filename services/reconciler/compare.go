package reconciler

import (
	"context"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// compare finds the facts of a report that the log lacks, and publishes them. asked is the time before the provider was asked.
func (a *attempt) compare(ctx context.Context, report pack.Report, asked time.Time) error {
	if err := a.keep(ctx); err != nil {
		return err
	}
	logged, err := a.logged(ctx, report.Document)
	if err != nil {
		return err
	}
	missing, known, err := a.missing(ctx, report, logged)
	if err != nil {
		return err
	}
	if len(missing) > 0 && report.Brief {
		detailed, err := a.api.Reports(ctx, report.Document)
		if err != nil {
			return err
		}
		if len(detailed) == 1 {
			report = detailed[0]
			if missing, known, err = a.missing(ctx, report, logged); err != nil {
				return err
			}
		}
	}
	first := !a.counted[report.Document]
	a.counted[report.Document] = true
	if first && (a.Run.Round == 1 || a.Run.Known) {
		a.Run.LookedAt++
		a.Run.AlreadyKnown += known
	}
	if c, found := contradiction(report, settled(logged, asked.Add(-a.pace.Lag))); found {
		if first {
			a.Run.Found += len(missing)
		}
		a.Run.contradicts(c)
		a.seen[report.Document] = true
		return nil
	}
	published, err := a.publish(ctx, missing)
	a.Run.Found += published
	a.Run.Published += published
	a.Run.Fresh += published
	a.metrics.found(a.key, published)
	if err == nil { // otherwise it is compared again
		a.seen[report.Document] = true
	}
	return err
}

// comparedTypes are the types of the facts that providers report.
var comparedTypes = append(slices.Clone(event.PastTypes), event.DocumentCreated)

// logged returns what the log has of a document.
func (a *attempt) logged(ctx context.Context, document string) ([]event.Stored, error) {
	var all []event.Stored
	for stored, err := range a.log.Document(ctx, event.Signer{Source: a.key.Name, Provider: a.key.Provider, Document: document}, comparedTypes) {
		if err != nil {
			return nil, err
		}
		all = append(all, stored)
	}
	return all, nil
}

// missing returns the facts that the log lacks and that are neither too young nor too old, and the number of those that it has.
func (a *attempt) missing(ctx context.Context, report pack.Report, logged []event.Stored) (missing []pack.Fact, known int, err error) {
	for _, f := range report.Facts {
		has, err := a.has(ctx, f, logged)
		switch {
		case err != nil:
			return nil, 0, err
		case has:
			known++
		case a.timely(f):
			missing = append(missing, f)
		}
	}
	return missing, known, nil
}

// has reports whether the log has a fact.
func (a *attempt) has(ctx context.Context, f pack.Fact, logged []event.Stored) (bool, error) {
	if f.Event.GetDocument().GetId() == "" {
		return a.people.has(ctx, f.Event)
	}
	from, to := sendingAround(f.Event, logged)
	for _, l := range logged {
		e := l.Event
		if e.GetId() == f.Event.GetId() {
			return true, nil
		}
		if e.GetVerification() == signingv1.Verification_VERIFICATION_NONE {
			continue
		}
		if withdraws(e) && withdraws(f.Event) { // one end; some APIs do not distinguish declined from voided
			return true, nil
		}
		same := e.GetType() == f.Event.GetType() && e.GetRecipient().GetId() == f.Event.GetRecipient().GetId()
		if at := event.Time(e); !f.Exact && same && !at.Before(from) && (to.IsZero() || at.Before(to)) {
			return true, nil
		}
	}
	return false, nil
}

func withdraws(e *signingv1.SigningEvent) bool {
	return e.GetType() == event.DocumentDeclined || e.GetType() == event.DocumentVoided
}

// sendingAround returns the time of the sending in which an event happened, and that of the next one: a person may sign once in each sending.
// A zero time is open.
func sendingAround(e *signingv1.SigningEvent, logged []event.Stored) (from, to time.Time) {
	if e.GetOccurredAt() == nil {
		return from, to
	}
	at := e.GetOccurredAt().AsTime()
	for _, l := range logged {
		if l.Event.GetType() != event.DocumentSent || l.Event.GetVerification() == signingv1.Verification_VERIFICATION_NONE {
			continue
		}
		switch sent := event.Time(l.Event); {
		case !sent.After(at) && sent.After(from):
			from = sent
		case sent.After(at) && (to.IsZero() || sent.Before(to)):
			to = sent
		}
	}
	return from, to
}

// timely reports whether a missing fact is published: it is old enough that no callback about it is on its way, and the log has not lost it.
func (a *attempt) timely(f pack.Fact) bool {
	at := f.By
	if t := f.Event.GetOccurredAt(); t != nil {
		at = t.AsTime()
	}
	if at.IsZero() {
		return true // the provider does not say
	}
	rest := a.pace.Settle
	if !f.Exact {
		rest = max(rest, a.api.Reporting().Retries)
	}
	age := a.now().Sub(at)
	return age >= rest && age < flow.LogReaches
}

// settled returns the events that were stored before a time.
func settled(logged []event.Stored, before time.Time) []*signingv1.SigningEvent {
	var events []*signingv1.SigningEvent
	for _, l := range logged {
		if l.Time.Before(before) {
			events = append(events, l.Event)
		}
	}
	return events
}

// contradiction returns the first point on which log and provider disagree. A fact that only one of them has is no contradiction, unless the
// other one excludes it.
func contradiction(report pack.Report, events []*signingv1.SigningEvent) (Contradiction, bool) {
	if report.Status == pack.StatusUnknown {
		return Contradiction{}, false
	}
	past := event.PastOf(events)
	says := func(log string) (Contradiction, bool) {
		return Contradiction{Document: report.Document, Log: log, Provider: string(report.Status)}, true
	}
	if past.Completed && report.Status != pack.StatusCompleted {
		return says("completed")
	}
	if !past.Completed && (report.Status == pack.StatusOpen || report.Status == pack.StatusCompleted) {
		for _, e := range events {
			ended := e.GetType() == event.DocumentDeclined || e.GetType() == event.DocumentVoided || e.GetType() == event.DocumentExpired
			if ended && past.Ended && e.GetVerification() != signingv1.Verification_VERIFICATION_NONE && !event.Time(e).Before(past.Sent()) {
				return says(e.GetType()[len(event.Entity(e.GetType()))+1:])
			}
		}
	}
	for _, person := range report.Unsigned {
		if past.SignedBy(person) {
			return Contradiction{Document: report.Document, Log: "signed", Provider: "not signed"}, true
		}
	}
	return Contradiction{}, false
}

// people has the people who signed or declined according to events without a document. Some callbacks about a person do not name the
// document, so all of a source's events of a type share one subject. It is read once in a run, and then from where the reading ended.
type people struct {
	log   event.Log
	key   providers.SourceKey
	types map[string]*acted
}

type acted struct {
	by   map[string]bool // by recipient id
	read time.Time       // the time of the last message
}

func (p *people) has(ctx context.Context, e *signingv1.SigningEvent) (bool, error) {
	if p.types == nil {
		p.types = map[string]*acted{}
	}
	is := p.types[e.GetType()]
	if is == nil {
		is = &acted{by: map[string]bool{}}
		p.types[e.GetType()] = is
	}
	for m, err := range p.log.Messages(ctx, event.SubjectOf(p.key.Name, p.key.Provider, e.GetType(), ""), is.read) {
		if err != nil {
			return false, err
		}
		found, err := event.Decode(m.Data)
		if err != nil {
			return false, err
		}
		if found.GetVerification() != signingv1.Verification_VERIFICATION_NONE {
			is.by[found.GetRecipient().GetId()] = true
		}
		is.read = m.Time
	}
	return is.by[e.GetRecipient().GetId()], nil
}
