package erase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// HeldError means that documents of the target are under a legal hold, so that nothing was changed.
type HeldError struct{ Documents []Document }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%d of the documents are under a legal hold: see `signrelay hold list`", len(e.Documents))
}

// rounds is how often Run searches again: work that was in flight may write during the removal.
const rounds = 3

// Run removes what Find found. The order makes it safe to stop and to repeat: tombstones, then the events document.erased, then the removal,
// then a new search. It returns the number of removed messages and entries.
func (e *Eraser) Run(ctx context.Context, t Target, f *Found, o Order, at time.Time) (removed int, err error) {
	if err := e.refuseHeld(ctx, f); err != nil {
		return 0, err
	}
	if t.Person == nil && len(f.Documents) > 0 {
		if err := e.bury(ctx, f.Documents, o, at); err != nil {
			return 0, err
		}
		if err := e.wait(ctx); err != nil {
			return 0, err
		}
		// This search also finds the events that a replica stored before it knew of the erasure.
		if f, err = e.findAgain(ctx, t, f, false); err != nil {
			return 0, err
		}
	}
	for range rounds {
		if f.Empty() {
			break
		}
		if err := e.report(ctx, t, f, o, at); err != nil {
			return removed, err
		}
		n, err := e.removeAll(ctx, f)
		removed += n
		if err != nil {
			return removed, err
		}
		if f, err = e.findAgain(ctx, t, f, true); err != nil {
			return removed, err
		}
	}
	if !f.Empty() {
		return removed, fmt.Errorf("%d messages are there again after %d searches: stages still work on them; run the command again", f.All(), rounds)
	}
	return removed, e.settle(ctx)
}

// wait waits until every replica of ingest knows the tombstones.
func (e *Eraser) wait(ctx context.Context) error {
	select {
	case <-time.After(e.Known):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Held returns the documents of f that are under a legal hold.
func (e *Eraser) Held(ctx context.Context, f *Found) ([]Document, error) {
	held, err := Holds(ctx, e.JS)
	if err != nil {
		return nil, err
	}
	var all []Document
	for _, d := range f.Documents {
		if _, is := held[d]; is {
			all = append(all, d)
		}
	}
	return all, nil
}

func (e *Eraser) refuseHeld(ctx context.Context, f *Found) error {
	held, err := e.Held(ctx, f)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return &HeldError{held}
	}
	return nil
}

// report publishes document.erased for each document, before its events are removed: a subscriber must learn of each removal, also if this
// program dies in it.
func (e *Eraser) report(ctx context.Context, t Target, f *Found, o Order, at time.Time) error {
	scope := "document"
	if t.Person != nil {
		scope = "person"
	}
	var all []*signingv1.SigningEvent
	reported := maps.Clone(f.events)
	for _, d := range f.Documents {
		if t.Person == nil && len(f.Archived) > 0 && reported[d] == nil {
			reported[d] = nil // only files of the archive, or entries elsewhere
		}
	}
	for i, d := range slices.SortedFunc(maps.Keys(reported), compare) {
		sequences := slices.Clone(f.events[d])
		if i == 0 { // they belong to no erased document, and each copy of the log must remove them, too
			sequences = append(sequences, f.cuts...)
		}
		all = append(all, erased(d, sequences, scope, o, at)...)
	}
	return e.publishAll(ctx, all)
}

// mostSpans is the number of spans of sequences in one event: at most 40 KB of its payload.
const mostSpans = 1000

// erased returns the events that report the removal of a document's events.
func erased(d Document, sequences []uint64, scope string, o Order, at time.Time) (all []*signingv1.SigningEvent) {
	slices.Sort(sequences)
	parts := slices.Collect(slices.Chunk(spans(sequences), mostSpans))
	if len(parts) == 0 { // only files of the archive
		parts = [][]string{nil}
	}
	for _, part := range parts {
		e := &signingv1.SigningEvent{
			Source: d.Source, Provider: d.Provider, Type: event.DocumentErased, OccurredAt: timestamppb.New(at),
			Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: &signingv1.Document{Id: d.Name()},
			Attributes: map[string]string{
				"scope": scope, "by": o.By, "reason": o.Reason, "events": strconv.Itoa(len(sequences)), "sequences": strings.Join(part, ","),
			},
		}
		e.Id = event.OccurrenceID(e, d.Name(), scope, e.GetAttributes()["sequences"])
		all = append(all, e)
	}
	return all
}

// spans returns sorted numbers as "3" and "5-8".
func spans(sorted []uint64) (all []string) {
	for i := 0; i < len(sorted); {
		end := i
		for end+1 < len(sorted) && sorted[end+1] == sorted[end]+1 {
			end++
		}
		text := strconv.FormatUint(sorted[i], 10)
		if end > i {
			text += "-" + strconv.FormatUint(sorted[end], 10)
		}
		all = append(all, text)
		i = end + 1
	}
	return all
}

// readSpans reads the attribute "sequences" of document.erased.
func readSpans(text string) (all []uint64, err error) {
	if text == "" {
		return nil, nil
	}
	for span := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(span, "-")
		from, err := strconv.ParseUint(first, 10, 64)
		to := from
		if err == nil && ranged {
			to, err = strconv.ParseUint(last, 10, 64)
		}
		if err != nil || to < from || to-from > 1<<24 {
			return nil, errors.New(event.DocumentErased + " has sequences that are no numbers")
		}
		for n := from; n <= to; n++ {
			all = append(all, n)
		}
	}
	return all, nil
}

// Sequences returns the places in the log of the events that document.erased reports as removed.
func Sequences(erased *signingv1.SigningEvent) (map[uint64]bool, error) {
	numbers, err := readSpans(erased.GetAttributes()["sequences"])
	if err != nil {
		return nil, err
	}
	all := make(map[uint64]bool, len(numbers))
	for _, n := range numbers {
		all[n] = true
	}
	return all, nil
}

// removeAll removes everything that was found once.
func (e *Eraser) removeAll(ctx context.Context, f *Found) (removed int, err error) {
	for _, key := range f.Archived {
		if e.Archive == nil {
			return removed, errNoArchive
		}
		if err := e.Archive.Delete(ctx, key); err != nil {
			return removed, fmt.Errorf("delete a file of the archive: %w", err)
		}
	}
	// The log is last: if the program dies before, the next search still finds the document there, and with it everything that only the log
	// connects with the document.
	names := slices.Sorted(maps.Keys(f.removals))
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	if e.Claims != nil && len(f.claims) > 0 {
		if err := e.forget(ctx, slices.Sorted(maps.Keys(f.claims))); err != nil {
			return removed, err
		}
	}
	if err := e.cutAll(ctx, f.cuts); err != nil {
		return removed, err
	}
	removed += len(f.cuts)
	for _, name := range names {
		stream, err := e.JS.Stream(ctx, name)
		if err != nil {
			return removed, fmt.Errorf("open %s: %w", name, err)
		}
		if err := e.removeFrom(ctx, stream, name, f.removals[name]); err != nil {
			return removed, fmt.Errorf("remove from %s: %w", name, err)
		}
		removed += len(f.removals[name])
	}
	return removed, nil
}

func rank(stream string) int {
	if stream == flow.Signing {
		return 1
	}
	return 0
}

// forget removes the senders' confirmations from Redis.
func (e *Eraser) forget(ctx context.Context, ids []string) error {
	for _, space := range flow.EffectClaims() {
		for part := range slices.Chunk(ids, 500) {
			if err := e.Claims(ctx, space, part...); err != nil {
				return fmt.Errorf("remove confirmations from Redis: %w", err)
			}
		}
	}
	return nil
}

// blockBytes is the size of the files of a stream. An overwrite of one message writes the whole file again: 19 ms on the disk of the
// development machine, and 0.1 ms without the overwrite.
const blockBytes = 8 << 20

// removeFrom removes messages of one stream, in the order of their sequences.
//
// The server deletes a file with all its content when it has no message left. So in a long run of messages of which none stays, only the first
// and last 8 MiB have to be overwritten; each file of the rest disappears as a whole.
func (e *Eraser) removeFrom(ctx context.Context, stream jetstream.Stream, name string, all []remove) error {
	if strings.HasPrefix(name, bucketPrefix) {
		return e.each(ctx, name, len(all), func(ctx context.Context, i int) error { return purgeEntry(ctx, stream, all[i].subject) })
	}
	whole := wholeFiles(all)
	return e.each(ctx, name, len(all), func(ctx context.Context, i int) error {
		r := all[i]
		var err error
		if e.NoOverwrite || whole[i] {
			err = flow.Remains(ctx, stream, r.sequence, stream.DeleteMsg(ctx, r.sequence))
		} else {
			err = secureDelete(ctx, stream, r.sequence)
		}
		if err == nil && r.subject != "" {
			err = e.unschedule(ctx, stream, r.subject)
		}
		return err
	})
}

// wholeFiles reports for each removal whether it is inside a run so that its file disappears.
func wholeFiles(all []remove) []bool {
	whole := make([]bool, len(all))
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && all[end].joined {
			end++
		}
		head, tail := begin, end
		if !all[begin].joined { // otherwise no older file has a message that stays
			for bytes := 0; head < end && bytes < blockBytes; head++ {
				bytes += all[head].bytes
			}
		}
		for bytes := 0; tail > begin && bytes < blockBytes; tail-- {
			bytes += all[tail-1].bytes
		}
		for i := head; i < tail; i++ {
			whole[i] = true
		}
		begin = end
	}
	return whole
}

// unschedule lets the server forget a schedule: it keeps its subject in memory and in a file until another message on the subject replaces it.
func (e *Eraser) unschedule(ctx context.Context, stream jetstream.Stream, subject string) error {
	ack, err := e.JS.PublishMsg(ctx, &nats.Msg{Subject: subject})
	if err != nil {
		return fmt.Errorf("end a schedule: %w", err)
	}
	return secureDelete(ctx, stream, ack.Sequence)
}

// secureDelete overwrites a message. A message that is gone is no error: the server itself removes a schedule that is due, at any time.
func secureDelete(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return flow.Remains(ctx, stream, sequence, stream.SecureDeleteMsg(ctx, sequence))
}

// purgeEntry removes an entry of a bucket, without a mark that has its key. The server refuses to overwrite single messages of a bucket, and the
// library does not let it allow that later; settle makes it rewrite the file.
func purgeEntry(ctx context.Context, bucket jetstream.Stream, subject string) error {
	return bucket.Purge(ctx, jetstream.WithPurgeSubject(subject))
}
