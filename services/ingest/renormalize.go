package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Renormalizer reads kept callbacks with the packs of today, and compares the events with those in the log.
type Renormalizer struct {
	env     service.Env
	packs   []pack.Pack
	store   *store
	sources map[[2]string]source
}

// NewRenormalizer returns a renormalizer, which the caller closes. It makes no events of erased documents.
func NewRenormalizer(ctx context.Context, env service.Env, packs []pack.Pack) (*Renormalizer, error) {
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	r := &Renormalizer{env: env, packs: packs, store: newStore(env, m), sources: map[[2]string]source{}}
	if r.store.erased, err = erase.WatchTombstones(ctx, env.JS, keyring.New(env.Config.MasterKeys())); err != nil {
		r.Close()
		return nil, fmt.Errorf("read the list of erased documents: %w", err)
	}
	return r, nil
}

// Close ends the renormalizer.
func (r *Renormalizer) Close() { r.store.erased.Close() }

// Kinds of differences.
const (
	Missing    = "missing"    // the log lacks the event
	OtherType  = "type"       // the log has an event of another type instead
	OtherField = "field"      // the log has the event with other fields
	Unreadable = "unreadable" // today's pack cannot read the callback, or an item of it
	Skipped    = "skipped"    // the callback cannot be compared
)

// Difference is one difference between the log and today's reading of a callback.
type Difference struct {
	Kind   string
	Event  *signingv1.SigningEvent // as it is read today; nil if it is unreadable or skipped
	Known  *signingv1.SigningEvent // as the log has it; nil if it is missing
	Fields []string                // the places of different fields: "document.title"; only of OtherField
	Reason string                  // of Unreadable and Skipped
	New    bool                    // Publish stores an event for it
}

// Compare compares a callback, which the stored event carries, with the log.
func (r *Renormalizer) Compare(ctx context.Context, carrier event.Stored) ([]Difference, error) {
	src, got, skipped, err := r.read(ctx, carrier.Event)
	if err != nil || skipped != "" {
		return []Difference{{Kind: Skipped, Reason: skipped}}, err
	}
	var all []Difference
	for _, u := range got.unreadable {
		all = append(all, Difference{Kind: Unreadable, Reason: u.why.Error()})
	}
	items, err := r.lookup(ctx, src, got.events)
	if err != nil {
		return nil, err
	}
	var missing []*signingv1.SigningEvent
	for _, it := range items {
		if it.state != stored {
			missing = append(missing, it.event)
			continue
		}
		d, err := r.compare(ctx, src, carrier.Event.GetCallback().GetId(), it)
		if err != nil {
			return nil, err
		}
		if len(d.Fields) > 0 {
			all = append(all, d)
		}
	}
	lacking, err := r.lacking(ctx, carrier, got.events, missing)
	return append(all, lacking...), err
}

// Publish stores the events of a callback that the log lacks, and the fields that its events lack, with the steps of a live callback. Then it
// records that in the log, as replay.requested. It returns the ids of the new events.
func (r *Renormalizer) Publish(ctx context.Context, carrier event.Stored) ([]string, error) {
	differences, err := r.Compare(ctx, carrier)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range differences {
		if d.New {
			ids = append(ids, d.Event.GetId())
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	src, got, _, err := r.read(ctx, carrier.Event)
	if err != nil {
		return nil, err
	}
	got.unreadable = nil                                                        // the log has the callback, so that the quarantine need not keep it
	got.callback = &signingv1.Callback{Id: carrier.Event.GetCallback().GetId()} // likewise
	a := r.store.putLate(ctx, src, got)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	r.store.confirm(within, a.done)
	switch a.outcome {
	case "accepted", "duplicate":
		return ids, r.record(ctx, carrier.Event, ids)
	default:
		return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, a.reason, errors.Join(a.err))
	}
}

// record publishes the event that an operator processed a callback again. It has the same id if the command is repeated.
func (r *Renormalizer) record(ctx context.Context, carrier *signingv1.SigningEvent, ids []string) error {
	id := carrier.GetCallback().GetId()
	m, err := event.Message(ctx, &signingv1.SigningEvent{
		Id: event.DerivedID(id, Service.Name, "renormalized/"+strings.Join(ids, " ")), Source: carrier.GetSource(), Provider: carrier.GetProvider(),
		Type: event.ReplayRequested, OccurredAt: timestamppb.New(r.env.Now()), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Document:   proto.CloneOf(carrier.GetDocument()),
		Attributes: map[string]string{"stage": Service.Name, "reason": "renormalized", "about": "callback", "input": id, "events": strings.Join(ids, " ")},
	})
	if err != nil {
		return err
	}
	if _, err := r.env.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("the events are stored, but not the event that an operator processed the callback again: %w", err)
	}
	return nil
}

// read reads a kept callback with today's pack, as ingest reads a live one. skipped says why a callback cannot be read again.
func (r *Renormalizer) read(ctx context.Context, carrier *signingv1.SigningEvent) (src source, got reading, skipped string, err error) {
	kept := carrier.GetCallback()
	switch {
	case kept.GetRedacted(): // ids may be made from the removed text
		return src, got, "a secret of the source was removed from it", nil
	case carrier.GetAttributes()[RepairedAttribute] != "":
		return src, got, "an operator repaired it", nil
	}
	key := [2]string{carrier.GetProvider(), carrier.GetSource()}
	src, opened := r.sources[key]
	if !opened {
		if src, err = sourceOf(ctx, r.env, r.packs, key[0], key[1]); errors.Is(err, pack.ErrNoSource) {
			return src, got, err.Error(), nil
		} else if err != nil {
			return src, got, "", err
		}
		r.sources[key] = src
	}
	got = read(ctx, r.env, src, callback{
		request: pack.RequestOf(carrier, kept), changed: unchanged, kept: kept, replayed: true,
		verified: pack.Verified{By: carrier.GetVerification(), Key: pack.Key{Setting: kept.GetKey(), Fingerprint: kept.GetKeyFingerprint()}},
	})
	got.events = r.store.withoutErased(ctx, got.events)
	return src, got, "", nil
}

// lookup searches the log for events.
func (r *Renormalizer) lookup(ctx context.Context, src source, events []*signingv1.SigningEvent) ([]item, error) {
	items, err := itemsToPut(ctx, src, reading{events: events})
	if err != nil {
		return nil, err
	}
	for i := range items {
		it := &items[i]
		it.state = everUnsure
		it.span.Since = it.event.GetReceivedAt().AsTime().Add(-flow.Remember) // another callback may have reported the fact earlier
		if happened := it.event.GetOccurredAt(); happened != nil && happened.AsTime().Add(-zoneError).Before(it.span.Since) {
			it.span.Since = happened.AsTime().Add(-zoneError)
		}
	}
	r.store.ask(ctx, items, (*item).asks)
	for _, it := range items {
		if it.err != nil {
			return nil, it.err
		}
	}
	return items, nil
}

// compare compares an event with the one in the log. Of a fact that another callback reported first, only what this callback adds is a difference.
func (r *Renormalizer) compare(ctx context.Context, src source, callback string, it item) (Difference, error) {
	d := Difference{Kind: OtherField, Event: it.event, Known: it.known}
	addition := pack.Addition(it.known, it.event, src.delivery()...)
	if addition != nil {
		found, err := r.lookup(ctx, src, []*signingv1.SigningEvent{addition})
		if err != nil {
			return d, err
		}
		if found[0].state == stored { // the log has it already
			return d, nil
		}
		d.New, d.Event = true, addition
	}
	if d.New || it.known.GetCallback().GetId() == callback {
		d.Fields = pack.Differences(it.known, it.event, src.delivery()...)
	}
	return d, nil
}

// lacking returns the events that the log lacks. If the log has another event of the same callback and item, which today's packs do not make, it
// has another type.
func (r *Renormalizer) lacking(ctx context.Context, carrier event.Stored, today, missing []*signingv1.SigningEvent) ([]Difference, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	var before []*signingv1.SigningEvent
	for found, err := range r.store.log.Reported(ctx, carrier.Event, carrier.Time) {
		if err != nil {
			return nil, err
		}
		e := found.Event
		if e.GetType() != event.DocumentUpdated && !slices.ContainsFunc(today, func(one *signingv1.SigningEvent) bool { return one.GetId() == e.GetId() }) {
			before = append(before, e)
		}
	}
	all := make([]Difference, 0, len(missing))
	for _, e := range missing {
		d := Difference{Kind: Missing, Event: e, New: true}
		i := slices.IndexFunc(before, func(b *signingv1.SigningEvent) bool {
			return proto.Equal(&signingv1.Callback{Item: b.GetCallback().Item}, &signingv1.Callback{Item: e.GetCallback().Item})
		})
		if i >= 0 {
			d.Kind, d.Known = OtherType, before[i]
			before = slices.Delete(before, i, i+1)
		}
		all = append(all, d)
	}
	return all, nil
}

// Kept yields the events that carry a callback and were stored since a time, oldest first; an empty source means all sources.
func (r *Renormalizer) Kept(ctx context.Context, source string, since time.Time) func(yield func(event.Stored, error) bool) {
	filter := event.Everything
	if source != "" {
		filter = event.SourceFilter(source, "")
	}
	return func(yield func(event.Stored, error) bool) {
		for m, err := range r.store.log.Messages(ctx, filter, since) {
			if err != nil {
				yield(event.Stored{}, err)
				return
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				yield(event.Stored{}, err)
				return
			}
			if event.Carries(e.GetCallback()) && !yield(event.Stored{RawStreamMsg: m, Event: e}, nil) {
				return
			}
		}
	}
}

// At returns the event with a sequence number, which carries a callback.
func (r *Renormalizer) At(ctx context.Context, sequence uint64) (event.Stored, error) {
	s, err := r.env.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return event.Stored{}, err
	}
	m, err := s.GetMsg(ctx, sequence)
	if err != nil {
		return event.Stored{}, err
	}
	e, err := event.Decode(m.Data)
	return event.Stored{RawStreamMsg: m, Event: e}, err
}
