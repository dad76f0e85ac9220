package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// store stores events in the log, each once: claim → publish and wait for the ack → respond → confirm. This order is essential: if an event were
// marked as seen before it is stored, a crash in between would lose it. After a crash before the confirmation, the claim expires, and the next
// callback with the id is looked up in the log.
type store struct {
	publisher  *publisher
	memory     dedupe.Store
	batches    dedupe.Store // the same store with leases for batches
	state      *memoryState
	gaps       *dedupe.Gaps
	log        event.Log
	quarantine event.Log
	metrics    *metrics
	unsettled  unsettled
	erased     *erase.Tombstones // nil in a replay from the quarantine
}

const (
	// putTimeout bounds all steps for one callback. PleaseSign documents no time limit; five seconds is the shortest usual one.
	putTimeout = 5 * time.Second
	// lease is the lease of a claim. It is longer than putTimeout, so that no other replica takes the claim over during the work.
	lease = 15 * time.Second

	// A batch gets more time, by its size. A log that writes through to a slow disk takes 1 to 3 ms for each message, and the eSignature API
	// sends thousands. The limit stays below the 30 s that a response may take.
	putItemTime     = 3 * time.Millisecond
	putBatchTimeout = 20 * time.Second
	batchLease      = 45 * time.Second
	// batch is the number of items from which a callback gets more time.
	batch = 100
	// window is the number of messages of one callback that wait for their acks at the same time. The NATS client fails a message that waits for
	// 5 s, even if the stream stores it, and allows 4,000 for all callbacks together.
	window = 256
)

// limitOf returns the time limit of all steps for this number of items.
func limitOf(items int) time.Duration {
	return min(putTimeout+time.Duration(items)*putItemTime, putBatchTimeout)
}

func newStore(env service.Env, m *metrics) *store {
	memory := env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: lease, Remember: flow.Remember})
	return &store{
		publisher:  newPublisher(env.JS, env.NATS, env.Log),
		memory:     memory,
		batches:    env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: batchLease, Remember: flow.Remember}),
		state:      &memoryState{log: env.Log, gauge: m.withoutMemory, memory: memory},
		gaps:       env.Gaps,
		log:        event.Log{JS: env.JS, Stream: flow.Signing},
		quarantine: event.Log{JS: env.JS, Stream: flow.Quarantine},
		metrics:    m,
	}
}

// putNow stores a callback: its events in the log, and the rest in the quarantine. It continues if the caller disconnects, so that no
// callback is stored in part.
func (s *store) putNow(ctx context.Context, src source, got reading) response {
	return s.put(ctx, src, got, func(c dedupe.Claim) state {
		if c.State == dedupe.Claimed {
			return fresh
		}
		return unsure
	})
}

// putLate works like putNow, for a callback that may be older than the dedupe store's data: the whole log is searched for every id that the
// store lacks.
func (s *store) putLate(ctx context.Context, src source, got reading) response {
	return s.put(ctx, src, got, func(dedupe.Claim) state { return everUnsure })
}

// put stores the items of a reading. judge returns the state of an item after a successful claim.
func (s *store) put(ctx context.Context, src source, got reading, judge func(dedupe.Claim) state) response {
	reported := len(got.events)
	got.events = s.withoutErased(ctx, got.events)
	if len(got.events) < reported && got.callback != nil { // the batch names the erased document, too
		got.callback = &signingv1.Callback{Id: got.callback.GetId()}
	}
	if len(got.events)+len(got.unreadable) == 0 {
		return accepted(nil)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limitOf(len(got.events)+len(got.unreadable)))
	defer cancel()

	items, err := itemsToPut(ctx, src, got)
	if err != nil {
		return unavailable("not-encoded", err)
	}
	owner := dedupe.NewOwner()
	remembered := s.claim(ctx, owner, items, judge)
	if !remembered {
		if err := s.gaps.Mark(ctx); err != nil {
			return unavailable("log-away", err)
		}
	}
	crash.Point("claimed")
	s.ask(ctx, items, (*item).asks)
	s.markOlder(ctx, items)
	s.publish(ctx, items, got.callback)
	s.ask(ctx, items, (*item).asks) // the items that the stream refused because they are not the first on their subjects
	s.publish(ctx, items, got.callback)
	crash.Point("published")
	var done []dedupe.Done
	if remembered {
		done = s.release(ctx, owner, items)
	}
	err = s.compare(ctx, items, got.callback)
	a := s.verdict(items)
	if err != nil && a.status < http.StatusMultipleChoices {
		a = unavailable("log-away", err)
	}
	a = s.putAdditions(ctx, src, items, got.callback, a, judge)
	a.done = append(a.done, done...)
	return a
}

// item is one message on its way into its stream.
type item struct {
	id         string
	event      *signingv1.SigningEvent // nil for an item of the quarantine
	unreadable unreadable
	msg        *nats.Msg
	state      state
	first      bool                    // publish it only as the first message on its subject
	carries    bool                    // its message has the whole callback
	span       event.Span              // the time in which it may have been stored; only if unsure and known
	ours       bool                    // we hold its claim
	confirmed  bool                    // the dedupe store confirms that it is stored
	found      bool                    // a search found it in its stream
	known      *signingv1.SigningEvent // the event that a search found in the log under its id
	err        error
}

func itemsToPut(ctx context.Context, src source, got reading) ([]item, error) {
	items := make([]item, 0, len(got.events)+len(got.unreadable))
	for _, u := range got.unreadable {
		msg, err := quarantineMessage(u, src)
		if err != nil {
			return nil, err
		}
		items = append(items, item{id: msg.Header.Get("Nats-Msg-Id"), unreadable: u, msg: msg})
	}
	for i, e := range got.events {
		var whole *signingv1.Callback
		if i == 0 { // it usually carries the callback
			whole = got.callback
		}
		msg, err := event.MessageFor(ctx, e, whole)
		if err != nil {
			return nil, err
		}
		items = append(items, item{id: e.GetId(), event: e, msg: msg})
	}
	return items, nil
}

type state int

const (
	fresh      state = iota // certainly not stored yet: publish it
	unsure                  // may be stored: search the log for the time in which callbacks are retried
	everUnsure              // may be stored at any time since span.Since: search the whole log from then on
	stored                  // was stored before
	put                     // we stored it just now
	held                    // another request is storing it right now
	refused                 // we certainly did not store it
	doubtful                // the publish may or may not have reached the stream
)

// claim claims all items and reports whether the dedupe store was available. Without it every item is unsure: the log and the stream's duplicate
// window decide.
func (s *store) claim(ctx context.Context, owner string, items []item, judge func(dedupe.Claim) state) bool {
	ids, before := make([]string, len(items)), make([]bool, len(items))
	for i := range items {
		// Read before the claim too: the confirmation may end between the claim's response and the second reading.
		ids[i], before[i] = items[i].id, s.unsettled.has(items[i].id)
	}
	now, memory := time.Now(), s.memory
	if len(items) > batch {
		memory = s.batches
	}
	claims, err := memory.Claim(ctx, owner, ids...)
	if err != nil {
		s.metrics.unremembered.Add(float64(len(items)))
		s.state.refused(ctx, err)
		for i := range items {
			items[i].state = judge(dedupe.Claim{State: dedupe.Pending})
			items[i].distrust(now)
		}
		return false
	}
	s.state.took(ctx)
	for i, c := range claims {
		switch c.State {
		case dedupe.Claimed, dedupe.Pending:
			items[i].state, items[i].span, items[i].ours = judge(c), c.Span, true
			items[i].distrust(now)
		case dedupe.Confirmed:
			items[i].state, items[i].confirmed = stored, true
		case dedupe.Held:
			items[i].state = held
			if before[i] || s.unsettled.has(items[i].id) { // we hold the claim, and the event is stored
				items[i].state = stored
			}
		}
	}
	return true
}

// publish publishes all fresh items in their order, a window at a time, and waits for each ack. The first one carries the callback, if it is kept.
func (s *store) publish(ctx context.Context, items []item, kept *signingv1.Callback) {
	for part := range slices.Chunk(items, window) {
		var news []*item
		for i := range part {
			if part[i].state == fresh {
				news = append(news, &part[i])
			}
		}
		switch err := ctx.Err(); {
		case len(news) == 0:
		case err != nil: // an item that was not sent is certainly not stored
			for _, it := range news {
				it.state, it.err = refused, err
			}
		default:
			if event.Carries(kept) && !slices.ContainsFunc(items, item.hasCarried) {
				s.carry(ctx, news, kept)
			}
			s.publisher.publish(ctx, news)
		}
	}
}

func (it *item) settle(ack *jetstream.PubAck, err error) {
	refusal := new(jetstream.APIError)
	switch {
	case it.first && errors.As(err, &refusal) && slices.Contains(wrongLast, refusal.ErrorCode):
		it.notFirst()
	case err == nil && ack.Duplicate:
		it.state = stored
	case err == nil:
		it.state = put
	case neverSent(err):
		it.state, it.err = refused, err
	default:
		it.state, it.err = doubtful, err
	}
}

// storingElsewhere is the error code of a cluster for a concurrent publish with the same id.
const storingElsewhere = 10158

// neverSent reports whether a failed publish certainly did not reach the stream: there was no responder, no connection (the client buffers
// nothing), or the server refused it.
func neverSent(err error) bool {
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) {
		return refusal.ErrorCode != storingElsewhere
	}
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting) ||
		errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrTooManyStalledMsgs)
}

// release releases our claims of the items that are not stored, and returns the confirmations of the others. If it fails, the claims expire, and
// the next owner searches the log.
func (s *store) release(ctx context.Context, owner string, items []item) (done []dedupe.Done) {
	var undone, unknown []string
	for _, it := range items {
		switch {
		case !it.ours:
		case it.state == put || it.state == stored:
			done = append(done, dedupe.Done{ID: it.id})
		case it.state == doubtful:
			unknown = append(unknown, it.id)
		default:
			undone = append(undone, it.id)
		}
	}
	if len(undone)+len(unknown) > 0 {
		// The time limit may have expired, so the remaining requests get a limit of their own.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
	}
	if len(undone) > 0 && s.memory.Release(ctx, owner, dedupe.Undone, undone...) != nil {
		s.metrics.unconfirmed.Add(float64(len(undone)))
	}
	if len(unknown) > 0 && s.memory.Release(ctx, owner, dedupe.Unknown, unknown...) != nil {
		s.metrics.unconfirmed.Add(float64(len(unknown)))
	}
	return done
}

var errUnpublished = errors.New("not published")

// verdict returns 2xx only if everything is stored. A batch with unreadable items always gets the same response.
func (s *store) verdict(items []item) response {
	var ids []string
	var bad []unreadable
	news, kept, failures, busy := 0, 0, 0, false
	var first error
	for _, it := range items {
		if it.event != nil {
			ids = append(ids, it.id)
		} else {
			bad = append(bad, it.unreadable)
		}
		switch it.state {
		case put:
			if it.event == nil {
				kept++
				break
			}
			news++
			s.metrics.stored(it.event)
		case held:
			busy = true
		case refused, doubtful, fresh, unsure, everUnsure:
			failures++
			first = cmp.Or(first, it.err)
		case stored:
		}
	}
	var a response
	switch {
	case failures > 0:
		return unavailable("log-away", fmt.Errorf("%d of %d messages not stored, the first: %w", failures, len(items), cmp.Or(first, errUnpublished)))
	case busy:
		return unavailable("held", nil)
	case len(ids) == 0:
		a = quarantined(bad[0].why)
	case len(bad) > 0:
		a = partlyQuarantined(ids, bad)
	case news == 0:
		a = duplicate(ids)
	default:
		a = accepted(ids)
	}
	a.kept = kept
	return a
}
