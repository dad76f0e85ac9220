package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/batching"
	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/flow"
)

// publisher publishes messages and waits for the acks of their streams. Concurrent callbacks can share one atomic batch of JetStream, which the
// server syncs to its disk once (docs/adr/0025). A batch has a fixed cost, so few messages, or all messages of a server that does not
// sync, are published one by one; chooser decides.
type publisher struct {
	js   jetstream.JetStream
	conn *nats.Conn
	log  *slog.Logger

	batches batching.Queue[*publication]

	mu      sync.Mutex
	mode    chooser
	pending int  // messages that wait or are in flight
	allowed bool // the stream allows batches
	retryAt time.Time
	logged  bool
}

// publication is the events of one callback that wait for a batch.
type publication struct {
	items []*item
	acks  []ack // of the items
	bytes int
}

// ack is the result of one publish.
type ack struct {
	stored *jetstream.PubAck
	err    error
}

const (
	// batchFrom is the number of concurrent messages from which a batch may pay. Its fixed cost is 2.6 ms, the time of about 16 synced
	// messages.
	batchFrom = 16
	// The server's limit is 1,000 messages in a batch. It holds a whole batch in its memory.
	batchMessages = 512
	batchBytes    = 4 << 20
	// askAgain is the time after which the stream is asked again whether it allows batches.
	askAgain = time.Minute
)

func newPublisher(js jetstream.JetStream, conn *nats.Conn, log *slog.Logger) *publisher {
	p := &publisher{js: js, conn: conn, log: log}
	p.batches = batching.Queue[*publication]{
		Send: p.sendShared, Within: putTimeout, MaxCount: batchMessages, MaxBytes: batchBytes,
		Size: func(one *publication) (count, bytes int) { return len(one.items), one.bytes },
	}
	return p
}

// publish publishes the items in their order, waits for the acks, and settles each item.
func (p *publisher) publish(ctx context.Context, items []*item) {
	began := time.Now()
	together := p.begin(len(items)) && !slices.ContainsFunc(items, (*item).alone)
	if together {
		p.join(ctx, items)
	} else {
		p.single(ctx, items)
	}
	p.end(items, time.Since(began))
}

// alone reports whether the item cannot be in a batch: it goes into another stream, or the server refuses it unless it is the first on its subject.
func (it *item) alone() bool { return it.event == nil || it.first }

// begin counts the messages and reports whether they join a batch.
func (p *publisher) begin(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending += n
	return p.mode.batches && p.pending >= batchFrom && (p.retryAt.IsZero() || time.Now().After(p.retryAt))
}

func (p *publisher) end(items []*item, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending -= len(items)
	for _, it := range items {
		if it.state == put {
			p.mode.record(took, time.Now())
		}
	}
}

// single publishes the items one by one. Their acks arrive later, so each item's sync does not wait for the response to the one before.
func (p *publisher) single(ctx context.Context, items []*item) {
	if len(items) == 1 {
		items[0].settle(p.one(ctx, items[0].conditional()))
		return
	}
	for i, ack := range p.each(ctx, items) {
		items[i].settle(ack.stored, ack.err)
	}
}

// one publishes a message and waits for its ack.
func (p *publisher) one(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	response, err := p.conn.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, err
	}
	return readAck(response.Data)
}

func (p *publisher) each(ctx context.Context, items []*item) []ack {
	futures, acks := make([]jetstream.PubAckFuture, len(items)), make([]ack, len(items))
	for i, it := range items {
		futures[i], acks[i].err = p.js.PublishMsgAsync(it.conditional(), jetstream.WithStallWait(putTimeout/2))
	}
	for i, future := range futures {
		if acks[i].err != nil {
			continue
		}
		select {
		case acks[i].stored = <-future.Ok():
		case acks[i].err = <-future.Err():
		case <-ctx.Done():
			acks[i].err = ctx.Err()
		}
	}
	return acks
}

// join lets the items wait for the next batch and settles them with its result.
func (p *publisher) join(ctx context.Context, items []*item) {
	mine := &publication{items: items, acks: make([]ack, len(items))}
	for _, it := range items {
		mine.bytes += len(it.msg.Data)
	}
	sent, err := p.batches.Do(ctx, mine)
	for i, it := range items {
		if err == nil {
			it.settle(mine.acks[i].stored, mine.acks[i].err)
			continue
		}
		if it.settle(nil, err); !sent {
			it.state = refused
		}
	}
}

// sendShared publishes the events of several callbacks.
func (p *publisher) sendShared(ctx context.Context, batch []*publication) {
	var items []*item
	for _, one := range batch {
		items = append(items, one.items...)
	}
	acks := p.send(ctx, items)
	for _, one := range batch {
		acks = acks[copy(one.acks, acks):]
	}
}

// send publishes items as one batch, or one by one if they are few or if the server refuses the batch.
func (p *publisher) send(ctx context.Context, items []*item) []ack {
	if len(items) < batchFrom || !p.allows(ctx) {
		return p.each(ctx, items)
	}
	err := p.together(ctx, items)
	refusal := new(jetstream.APIError)
	if errors.As(err, &refusal) {
		// For example, another replica has just stored one of the ids. A refused batch stores nothing.
		if refusal.ErrorCode == batchesOff {
			p.forbid(notAllowed)
		}
		return p.each(ctx, items)
	}
	acks := make([]ack, len(items))
	for i := range acks {
		acks[i] = ack{new(jetstream.PubAck), err}
	}
	return acks
}

// batchesOff is the server's error code for a batch in a stream whose settings do not allow it.
const batchesOff = 10174

// The headers of an atomic batch. They remain in the stored messages.
const (
	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

var errBatchAck = errors.New("the response to the batch is not its ack")

// together publishes the items as one atomic batch. The server responds to the last message, which commits it. An API error means that
// nothing was stored.
func (p *publisher) together(ctx context.Context, items []*item) error {
	id := strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // it distinguishes open batches and protects nothing
	last := len(items) - 1
	ids := []string{id}
	defer func() {
		for _, it := range items { // they may be published again
			delete(it.msg.Header, headerBatch)
			delete(it.msg.Header, headerSequence)
			delete(it.msg.Header, headerCommit)
		}
	}()
	for i, it := range items {
		it.msg.Header[headerBatch], it.msg.Header[headerSequence] = ids, []string{strconv.Itoa(i + 1)}
		if i == last {
			break
		}
		if err := p.conn.PublishMsg(it.msg); err != nil {
			return err
		}
	}
	crash.Point("batched")
	items[last].msg.Header[headerCommit] = []string{"1"}
	response, err := p.conn.RequestMsgWithContext(ctx, items[last].msg)
	if err != nil {
		return err
	}
	crash.Point("committed")
	var ack struct {
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(response.Data, &ack); {
	case err != nil:
		return err
	case ack.Error != nil:
		return ack.Error
	case ack.Batch != id || ack.Count != len(items):
		return errBatchAck
	default:
		return nil
	}
}

// allows reports whether the stream allows batches. A server before 2.12 does not know the setting, and would store the messages of a batch at
// once.
func (p *publisher) allows(ctx context.Context) bool {
	p.mu.Lock()
	known := p.allowed
	p.mu.Unlock()
	if known {
		return true
	}
	stream, err := p.js.Stream(ctx, flow.Signing)
	switch {
	case err != nil:
		p.forbid("the settings of " + flow.Signing + " cannot be read: " + err.Error())
	case !stream.CachedInfo().Config.AllowAtomicPublish:
		p.forbid(notAllowed)
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.allowed = true
		return true
	}
	return false
}

// notAllowed is the reason if the stream's settings do not allow batches.
const notAllowed = "the stream does not allow atomic batches: run `signrelay provision` with NATS 2.12 or newer"

// forbid stops batches for a minute and logs the first reason.
func (p *publisher) forbid(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed, p.retryAt = false, time.Now().Add(askAgain)
	if !p.logged {
		p.logged = true
		p.log.Warn("events are published one by one, which is slower under load", "reason", reason)
	}
}
