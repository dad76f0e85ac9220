package indexer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
)

// Progress is how far a rebuild is.
type Progress struct {
	Step      string // StepEvents or StepWords
	Done, All int    // events, or blocks of documents
}

// The steps of a rebuild.
const (
	StepEvents = "events"
	StepWords  = "words"
)

// Limits of a rebuild. Documents that leave the memory are written in batches.
const (
	rebuildDocuments = 8000
	rebuildBatch     = 2000 // documents
	rebuildWindow    = 2000 // events
)

// Rebuild builds the index again from the log, while the indexer continues with the old one, and then replaces the old one. It can be stopped at any
// time: the old index stays. The documents that began before the log's first event are taken from the old index. report is called often.
func Rebuild(ctx context.Context, js jetstream.JetStream, i *index.Index, report func(Progress)) (err error) {
	log := event.Log{JS: js, Stream: flow.Signing}
	first, last, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	build, err := i.Rebuild(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, build.Close(ctx)) }()
	r := &rebuild{js: js, build: build, folder: newFolder(build, log, rebuildDocuments), report: report, first: first, last: last}
	if err := r.carry(ctx); err != nil {
		return err
	}
	if err := r.to(ctx, last); err != nil {
		return err
	}
	if err := build.Words(ctx, func(done, all int) { report(Progress{StepWords, done, all}) }); err != nil {
		return err
	}
	// Meanwhile the log grew. A second round is short, and the rest follows while the indexer waits.
	if _, r.last, err = log.Bounds(ctx); err != nil {
		return err
	}
	if err := r.to(ctx, r.last); err != nil {
		return err
	}
	return build.Swap(ctx, func(ctx context.Context, p index.Position) error {
		_, last, err := log.Bounds(ctx)
		if err != nil {
			return err
		}
		return r.to(ctx, min(p.Sequence, last)) // the old index is ahead of a log that was restored from an older backup
	})
}

type rebuild struct {
	js          jetstream.JetStream
	build       *index.Build
	folder      *folder
	report      func(Progress)
	first, last uint64
	at          index.Position // of the last event that was folded
}

// carry copies the documents that the log does not have from their beginning.
func (r *rebuild) carry(ctx context.Context) error {
	var rows []index.Row
	store := func() error {
		defer func() { rows = nil }()
		return r.build.Apply(ctx, index.Batch{Rows: rows})
	}
	err := r.build.Carry(ctx, r.first, func(f index.Found) error {
		d, err := index.DocumentOf(f)
		if err != nil {
			return err
		}
		row, err := index.RowOf(d, f.Number)
		row.Key = f.Key
		if rows = append(rows, row); err == nil && len(rows) >= rebuildBatch {
			err = store()
		}
		return err
	})
	if err != nil {
		return err
	}
	return store()
}

// to folds the events up to a sequence, and stores everything.
func (r *rebuild) to(ctx context.Context, last uint64) error {
	if last <= r.at.Sequence {
		return nil
	}
	if err := r.read(ctx, last); err != nil {
		return err
	}
	b, err := r.folder.drain()
	if err != nil {
		return err
	}
	b.Position = index.Position{Sequence: max(last, r.at.Sequence), At: r.at.At}
	return r.build.Apply(ctx, b)
}

// read folds events. Another goroutine receives and decodes the next ones meanwhile.
func (r *rebuild) read(ctx context.Context, last uint64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	windows, failed := make(chan []record, 4), make(chan error, 1)
	go func() {
		defer close(windows)
		failed <- receive(ctx, r.js, r.at.Sequence+1, last, windows)
	}()
	for window := range windows {
		if err := r.folder.take(ctx, window); err != nil {
			return err
		}
		end := window[len(window)-1]
		r.at = index.Position{Sequence: end.sequence, At: end.at}
		if len(r.folder.evicted) >= rebuildBatch {
			b, err := r.folder.spill()
			if err == nil {
				err = r.build.Apply(ctx, b)
			}
			if err != nil {
				return err
			}
		}
		r.report(Progress{StepEvents, int(end.sequence - min(r.first, end.sequence)), int(r.last - min(r.first, r.last))}) // counts of events
	}
	return <-failed
}

// idle is the time without an event after which a read fails: the server always has the last one.
const idle = 30 * time.Second

// receive sends the events from first to last in windows.
func receive(ctx context.Context, js jetstream.JetStream, first, last uint64, windows chan<- []record) error {
	consumer, err := js.OrderedConsumer(ctx, flow.Signing, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first,
	})
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2 * rebuildWindow))
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	defer messages.Stop()
	var window []record
	for {
		limited, cancel := context.WithTimeout(ctx, idle)
		m, err := messages.Next(jetstream.NextContext(limited))
		cancel()
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		is, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read an event's metadata: %w", err)
		}
		// The indexer gives up what it cannot read, and it becomes a dead letter.
		if e, err := event.Decode(event.WithoutCallback(m.Data())); err == nil && is.Sequence.Stream <= last {
			window = append(window, record{event: e, sequence: is.Sequence.Stream, at: is.Timestamp})
		}
		end := is.Sequence.Stream >= last || is.NumPending == 0
		if len(window) >= rebuildWindow || end && len(window) > 0 {
			select {
			case windows <- window:
				window = make([]record, 0, rebuildWindow)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if end {
			return nil
		}
	}
}
