package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

// tombstone is an entry of the bucket ERASED: the record of an erasure, without personal data. Its key is a keyed hash of the document.
type tombstone struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

const documentKey = "erased."

func keysOf(keys keyring.Keys, d Document) []string {
	names := keys.Names(d.Source + "/" + d.Provider + "/" + d.Token)
	for i := range names {
		names[i] = documentKey + names[i]
	}
	return names
}

func tombstoneKeys(ring keyring.Ring) keyring.Keys { return ring.For("erased") }

// bury stores the tombstones of documents. From then on ingest drops callbacks about them.
func (e *Eraser) bury(ctx context.Context, all []Document, o Order, at time.Time) error {
	value, err := json.Marshal(tombstone{at.UTC().Truncate(time.Second), o.By, o.Reason})
	if err != nil {
		return err
	}
	keys := tombstoneKeys(e.Ring)
	return e.each(ctx, "tombstones", len(all), func(ctx context.Context, i int) error {
		_, err := e.JS.Publish(ctx, "$KV."+flow.Erased+"."+keysOf(keys, all[i])[0], value, jetstream.WithExpectLastSequencePerSubject(0))
		var refused *jetstream.APIError
		if errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
			return nil // it was erased before: the first record stays
		}
		if err != nil {
			return fmt.Errorf("store a tombstone: %w", err)
		}
		return nil
	})
}

// each calls do for the numbers up to n, several at a time, and reports the progress.
func (e *Eraser) each(ctx context.Context, place string, n int, do func(ctx context.Context, i int) error) error {
	const atOnce = 64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	done := 0
	finished := func() { // Progress has one caller at a time, and its numbers rise
		mu.Lock()
		defer mu.Unlock()
		done++
		e.progress(place, done, n)
	}
	var workers sync.WaitGroup
	for range min(atOnce, n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				finished()
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (e *Eraser) progress(place string, done, all int) {
	if e.Progress != nil {
		e.Progress(place, done, all)
	}
}

// Tombstones are the erased documents, for a program that must not store events of them. It holds the whole bucket in memory, 60 bytes a
// document, because ingest cannot ask the server for each callback.
type Tombstones struct {
	log  event.Log
	keys keyring.Keys

	mu    sync.RWMutex
	known map[string]bool
	since time.Time // of the newest entry that was read
	ended chan struct{}
	stop  context.CancelFunc
}

// lookEvery is the poll interval of Tombstones. A watch needs a consumer, and a user who may create consumers can have the server deliver
// messages anywhere.
const lookEvery = 5 * time.Second

// KnownWithin is the time after which all replicas know of an erasure.
const KnownWithin = 2 * lookEvery

// ReadTombstones reads the erased documents once. It needs no Close.
func ReadTombstones(ctx context.Context, js jetstream.JetStream, ring keyring.Ring) (*Tombstones, error) {
	t := &Tombstones{
		log: event.Log{JS: js, Stream: bucketPrefix + flow.Erased}, keys: tombstoneKeys(ring), known: map[string]bool{}, ended: make(chan struct{}),
	}
	return t, t.look(ctx)
}

// WatchTombstones reads the erased documents, and polls for others until Close, also if it returns an error of the first reading. A bucket that
// does not exist yet has none.
func WatchTombstones(ctx context.Context, js jetstream.JetStream, ring keyring.Ring) (*Tombstones, error) {
	t, err := ReadTombstones(ctx, js, ring)
	ctx, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(t.ended)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_ = t.look(ctx) // while NATS is unavailable, nothing is stored
		}
	}()
	return t, err
}

// Close ends the polling.
func (t *Tombstones) Close() {
	t.stop()
	<-t.ended
}

func (t *Tombstones) look(ctx context.Context) error {
	const prefix = "$KV." + flow.Erased + "."
	for m, err := range t.log.Messages(ctx, prefix+documentKey+">", t.since) {
		if err != nil {
			if err = missing(err); err == nil {
				return nil
			}
			return fmt.Errorf("read the erased documents: %w", err)
		}
		t.mu.Lock()
		t.known[m.Subject[len(prefix):]] = m.Header.Get("KV-Operation") == ""
		t.since = m.Time
		t.mu.Unlock()
	}
	return nil
}

// None reports whether no document was erased.
func (t *Tombstones) None() bool {
	if t == nil {
		return true
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.known) == 0
}

// Erased reports whether the document with that id was erased.
func (t *Tombstones) Erased(source, provider, documentID string) bool {
	if t.None() || documentID == "" {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.has(Document{source, provider, event.DocumentToken(documentID)})
}

func (t *Tombstones) has(d Document) bool {
	for _, key := range keysOf(t.keys, d) {
		if t.known[key] {
			return true
		}
	}
	return false
}

// WasErased asks the server whether a document was erased, for a program that stores few events.
func WasErased(ctx context.Context, js jetstream.JetStream, ring keyring.Ring, source, provider, documentID string) (bool, error) {
	if documentID == "" {
		return false, nil
	}
	subjects := keysOf(tombstoneKeys(ring), Document{source, provider, event.DocumentToken(documentID)})
	for i := range subjects {
		subjects[i] = "$KV." + flow.Erased + "." + subjects[i]
	}
	present, err := event.Log{JS: js, Stream: bucketPrefix + flow.Erased}.Present(ctx, subjects...)
	if err != nil {
		return false, fmt.Errorf("look for an erasure: %w", err)
	}
	return len(present) > 0, nil
}

// Returned finds the erased documents that have events in the log since that time: events of work that was in flight during the erasure.
func (t *Tombstones) Returned(ctx context.Context, js jetstream.JetStream, since time.Time) (map[Document]bool, error) {
	if err := t.look(ctx); err != nil {
		return nil, err
	}
	all := map[Document]bool{}
	for m, err := range (event.Log{JS: js, Stream: flow.Signing}).Messages(ctx, event.Everything, since) {
		if err != nil {
			return nil, err
		}
		a, ok := event.ParseSubject(m.Subject)
		if d := (Document{a.Source, a.Provider, a.Document}); ok && a.Document != event.None && !all[d] && t.has(d) {
			all[d] = true
		}
	}
	return all, nil
}
