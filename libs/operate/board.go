package operate

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/stage"
)

// mostKept is the number of messages of one stream up to which a board keeps facts: about 150,000 dead letters, each with the server's advisory. A dead letter takes 524 bytes.
// More are read at each look.
const mostKept = 300_000

// board keeps what is stuck, so that a look reads only what is new since the last one. Its facts have no content and no personal data but the hash of
// a person's address.
type board struct {
	mutex sync.RWMutex

	ledger     stage.Ledger
	dead       map[uint64]*fact
	ofDocument map[uint64][]uint64 // the numbers of the dead letters of a document, by the hash of letterOf

	quarantine  event.Mirror
	quarantined map[uint64]*fact

	attempts event.Mirror
	held     map[uint64]*heldFact

	shapes map[shape]*common
}

// common is what many items have in common, so that it is in memory once. shape identifies it.
type common struct {
	shape
	channels []string
}

type shape struct {
	stage, reason, detail, source, provider, about, channelNames string
	fault                                                        outcome.Fault
	attempts, replays                                            int
	unknown, gone                                                bool
}

// fact is one item: about 150 bytes with its ids.
type fact struct {
	*common
	number              uint64
	since, first        int64 // ns since 1970; first may be 0
	document, recipient string
	person              uint64
	bytes               int
}

type heldFact struct{ Item }

// mostShapes is the number of shapes from which the board begins a new table: errors may contain an id.
const mostShapes = 10_000

func (b *board) fact(i Item) *fact {
	s := shape{
		stage: i.Stage, reason: i.Reason, detail: i.Detail, source: i.Source, provider: i.Provider, about: i.About, channelNames: strings.Join(i.Channels, " "),
		fault: i.Fault, attempts: i.Attempts, replays: i.Replays, unknown: i.Unknown, gone: i.Gone,
	}
	if b.shapes == nil || len(b.shapes) > mostShapes {
		b.shapes = map[shape]*common{}
	}
	known := b.shapes[s]
	if known == nil {
		known = &common{s, i.Channels}
		b.shapes[s] = known
	}
	f := &fact{common: known, number: i.number, since: i.Since.UnixNano(), document: i.Document, recipient: i.Recipient, person: i.person, bytes: i.Bytes}
	if !i.First.IsZero() {
		f.first = i.First.UnixNano()
	}
	return f
}

// item returns the item of a fact, without its key.
func (f *fact) item(what What) Item {
	i := Item{
		What: what, Stage: f.stage, Reason: f.reason, Fault: f.fault, Detail: f.detail, Source: f.source, Provider: f.provider, Document: f.document,
		Recipient: f.recipient, About: f.about, Channels: f.channels, Since: time.Unix(0, f.since).UTC(), Attempts: f.attempts, Replays: f.replays, Unknown: f.unknown, Gone: f.gone,
		Bytes: f.bytes, person: f.person, number: f.number,
	}
	if f.first != 0 {
		i.First = time.Unix(0, f.first).UTC()
	}
	return i
}

// refresh reads what is new of the kinds of work that a filter may select, and reports whether the board has all of it.
func (b *board) refresh(ctx context.Context, js jetstream.JetStream, f Filter) (all bool, err error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	all = true
	for _, what := range Whats {
		if !f.wants(what) {
			continue
		}
		var ok bool
		switch what {
		case Dead:
			ok, err = b.refreshDead(ctx, js)
		case Quarantined:
			ok, err = b.refreshQuarantined(ctx, js)
		case Held:
			ok, err = b.refreshHeld(ctx, js)
		}
		if err != nil {
			return false, err
		}
		all = all && ok
	}
	return all, nil
}

func (b *board) refreshDead(ctx context.Context, js jetstream.JetStream) (bool, error) {
	return b.ledger.Refresh(ctx, js, mostKept,
		func(l stage.DeadLetter) {
			f := b.fact(itemOfDead(l))
			b.dead[l.Number] = f
			if f.document != "" {
				of := letterOf(f.source, f.provider, f.document)
				b.ofDocument[of] = append(b.ofDocument[of], f.number)
			}
		},
		func(number uint64) {
			f := b.dead[number]
			delete(b.dead, number)
			if f == nil || f.document == "" {
				return
			}
			of := letterOf(f.source, f.provider, f.document)
			if b.ofDocument[of] = slices.DeleteFunc(b.ofDocument[of], func(n uint64) bool { return n == number }); len(b.ofDocument[of]) == 0 {
				delete(b.ofDocument, of)
			}
		},
		func() { b.dead, b.ofDocument = map[uint64]*fact{}, map[uint64][]uint64{} },
	)
}

func (b *board) refreshQuarantined(ctx context.Context, js jetstream.JetStream) (bool, error) {
	b.quarantine.Stream = flow.Quarantine
	return b.quarantine.Refresh(ctx, js, mostKept, event.Changes{
		Add: func(m *jetstream.RawStreamMsg) {
			b.quarantined[m.Sequence] = b.fact(itemOfCallback(quarantine.Describe(m)))
		},
		Remove: func(number uint64) { delete(b.quarantined, number) },
		Reset:  func() { b.quarantined = map[uint64]*fact{} },
	})
}

func (b *board) refreshHeld(ctx context.Context, js jetstream.JetStream) (bool, error) {
	b.attempts.Stream = "KV_" + flow.Attempts
	var wrong error
	ok, err := b.attempts.Refresh(ctx, js, mostKept, event.Changes{
		Add: func(m *jetstream.RawStreamMsg) {
			h, is, err := notification.HeldOfRecord(m)
			wrong = errors.Join(wrong, err)
			if is {
				b.held[m.Sequence] = &heldFact{itemOfHeld(h)}
			}
		},
		Remove: func(number uint64) { delete(b.held, number) },
		Reset:  func() { b.held = map[uint64]*heldFact{} },
	})
	return ok, errors.Join(err, wrong)
}

// each calls do for each item that the filter selects, in no order, until do returns false.
func (b *board) each(f Filter, do func(Item) bool) {
	b.mutex.RLock()
	defer b.mutex.RUnlock()
	for _, kind := range []struct {
		what  What
		facts map[uint64]*fact
	}{{Dead, b.dead}, {Quarantined, b.quarantined}} {
		if !f.wants(kind.what) {
			continue
		}
		for _, one := range kind.facts {
			if i := one.item(kind.what); f.has(i) && !do(i) {
				return
			}
		}
	}
	if !f.wants(Held) {
		return
	}
	for _, h := range b.held {
		if f.has(h.Item) && !do(h.Item) {
			return
		}
	}
}

// numbers returns the numbers of all messages in DLQ about a dead letter.
func (b *board) numbers(number uint64) []uint64 {
	b.mutex.RLock()
	defer b.mutex.RUnlock()
	return b.ledger.Numbers(number)
}

// named returns the numbers of the dead letters with these keys.
func (b *board) named(keys []string) (all []uint64) {
	b.mutex.RLock()
	defer b.mutex.RUnlock()
	for _, key := range keys {
		if n := number(Dead, key); b.dead[n] != nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// letters returns the numbers of a document's dead letters.
func (b *board) letters(d Document) (all []uint64) {
	b.mutex.RLock()
	defer b.mutex.RUnlock()
	for _, n := range b.ofDocument[letterOf(d.Source, d.Provider, d.ID)] {
		if f := b.dead[n]; f.source == d.Source && f.provider == d.Provider && event.DocumentToken(f.document) == event.DocumentToken(d.ID) {
			all = append(all, n)
		}
	}
	return all
}

// letterOf returns the key of a document's dead letters. The token is the same for the id and for its public form.
func letterOf(source, provider, id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source + "/" + provider + "/" + event.DocumentToken(id)))
	return h.Sum64()
}

// Follow keeps what is stuck in memory until ctx ends, so that the first look does not read all of it.
func (o *Operator) Follow(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := o.board.refresh(ctx, o.JS, Filter{}); err != nil && ctx.Err() == nil {
			o.log().DebugContext(ctx, "what is stuck cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
