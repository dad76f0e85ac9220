package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/flow"
)

// The inputs in flight hold at most 8 MiB and one slice: 2048 events of 1 MiB would need too much memory. A slice is what one request takes,
// 128 messages, and 32 after a message of more than 64 KiB. The size is checked between slices. A request must not let the server limit the
// bytes: if a consumer is replicated, the status with which the server then ends a full batch comes before the messages, and the client drops
// the messages behind it.
const (
	inFlightBytes = 8 << 20
	slice         = 128
	largeSlice    = 32
	largeInput    = inFlightBytes / slice
)

// inFlight has the inputs that were delivered to this replica and are not settled.
type inFlight[In any] struct {
	mu     sync.Mutex
	inputs map[uint64]*orderedInput[In] // by their sequence in the stream
}

// orderedInput is one input. Its attempt's decision is empty until the input was written, skipped or given up.
type orderedInput[In any] struct {
	*attempt
	latest jetstream.Msg // the delivery that is settled: of two the later one
	data   In
	unread error // from Decode
}

// window is a part of the inputs in flight that is written at once, in the order of the stream.
type window[In any] struct {
	inputs []*orderedInput[In]
	beyond bool // the run's end is before the next input
	more   int  // the number of inputs that the stream had behind it
	taken  time.Time
}

// add adds deliveries, and returns the inputs that were not in flight here before, in the order of the stream.
func (f *inFlight[In]) add(messages []jetstream.Msg) ([]*orderedInput[In], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	added := make([]*orderedInput[In], 0, len(messages))
	for _, m := range messages {
		a, err := newAttempt(m)
		if err != nil {
			return nil, err
		}
		if before := f.inputs[a.meta.Sequence.Stream]; before != nil {
			before.latest = m
			continue
		}
		i := &orderedInput[In]{attempt: a, latest: m}
		f.inputs[a.meta.Sequence.Stream] = i
		added = append(added, i)
	}
	return sorted(added), nil
}

func (f *inFlight[In]) remove(inputs []*orderedInput[In]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range inputs {
		delete(f.inputs, i.meta.Sequence.Stream)
	}
}

// size returns the number of inputs, the bytes of their bodies, and those of the largest.
func (f *inFlight[In]) size() (inputs, bytes, largest int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.inputs {
		bytes += len(i.input.Data)
		largest = max(largest, len(i.input.Data))
	}
	return len(f.inputs), bytes, largest
}

// takeAll removes all inputs, and returns them in the order of the stream.
func (f *inFlight[In]) takeAll() []*orderedInput[In] {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Collect(maps.Values(f.inputs))
	clear(f.inputs)
	return sorted(all)
}

// extend extends the leases. It holds the lock, because an extension after an ack or a nak would cancel it.
func (f *inFlight[In]) extend(conn *nats.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.inputs {
		_ = conn.Publish(i.latest.Reply(), progress)
	}
}

func sorted[In any](inputs []*orderedInput[In]) []*orderedInput[In] {
	slices.SortFunc(inputs, func(a, b *orderedInput[In]) int { return cmp.Compare(a.meta.Sequence.Stream, b.meta.Sequence.Stream) })
	return inputs
}

// windows takes windows of inputs, writes and settles them, until the stream has no more inputs for now. While a window is written,
// the one before it is settled and the next one is taken. All requests to NATS are made one after the other, so the number of inputs
// in flight there can be compared with the number here. When ctx ends, or after a failure, it returns unwritten inputs to the stream.
func (w *orderedWork[In]) windows(ctx context.Context, c jetstream.Consumer) error {
	messages, err := pull(ctx, c, w.windowSize(), 0)
	if len(messages) == 0 {
		if err == nil { // the other side was reached, and there is nothing to write
			w.returned = false
			w.passed(ctx)
		} // Only a replica that has returned inputs must expect that another replica works.
		return err
	}
	w.setActive(true)
	f := &inFlight[In]{inputs: map[uint64]*orderedInput[In]{}}
	defer w.extendLeases(ctx, c, f)()
	var next *window[In]
	if err == nil {
		next, err = w.newWindow(ctx, c, f, messages)
	} else {
		_, _ = f.add(messages)
	}
	var written *window[In]
	for next != nil && err == nil && ctx.Err() == nil {
		current := next
		next = nil
		done := make(chan struct{})
		go func() {
			defer close(done)
			// After this time without a pull the server lets another replica work, which then waits for the inputs in flight here.
			w.write(ctx, current.inputs, c.CachedInfo().Config.PinnedTTL)
		}()
		if err = w.settleWindow(ctx, f, written); err == nil {
			next, err = w.nextWindow(ctx, c, f, current)
		}
		<-done
		crash.Point("written")
		written = current
		if len(undecided(current.inputs)) > 0 {
			break
		}
	}
	err = errors.Join(err, w.settleWindow(ctx, f, written))
	returnInputs(f.takeAll())
	return err
}

// windowSize is half of the inputs in flight: one window is written while the next one is taken.
func (w *orderedWork[In]) windowSize() int { return max(w.Stage.Workers/2, 1) }

// extendLeases extends the leases on all inputs in flight, until the returned function is called.
func (w *orderedWork[In]) extendLeases(ctx context.Context, c jetstream.Consumer, f *inFlight[In]) (stop func()) {
	leased, end := context.WithCancel(context.WithoutCancel(ctx))
	released := make(chan struct{})
	go func() {
		defer close(released)
		every(leased, c.CachedInfo().Config.AckWait/3, func() { f.extend(w.JS.Conn()) })
	}()
	return func() { end(); <-released }
}

// nextWindow takes the window behind one that is being written. It takes nothing if the stream has nothing, or if the limits of the
// inputs in flight are reached: then the window is settled first.
func (w *orderedWork[In]) nextWindow(ctx context.Context, c jetstream.Consumer, f *inFlight[In], before *window[In]) (*window[In], error) {
	inputs, bytes, largest := f.size()
	most := min(before.more, w.windowSize(), w.Stage.Workers-inputs)
	if most <= 0 || before.beyond || ctx.Err() != nil {
		return nil, nil //nolint:nilnil,nilerr // there is no next window, or the program ends
	}
	messages, err := pullKnown(context.WithoutCancel(ctx), c, most, bytes, largest)
	if len(messages) == 0 {
		return nil, err
	}
	if err != nil {
		_, _ = f.add(messages)
		return nil, err
	}
	return w.newWindow(ctx, c, f, messages)
}

// newWindow makes a window of deliveries, completed by the inputs that other replicas have in flight.
func (w *orderedWork[In]) newWindow(ctx context.Context, c jetstream.Consumer, f *inFlight[In], messages []jetstream.Msg) (*window[In], error) {
	n := &window[In]{taken: time.Now()}
	added, err := f.add(messages)
	if err != nil {
		return nil, err
	}
	more, err := w.complete(ctx, c, f)
	if err != nil {
		return nil, err
	}
	added = sorted(append(added, more...))
	if len(added) == 0 {
		return nil, nil //nolint:nilnil // only inputs that were in flight here were delivered again
	}
	n.more = int(min(added[len(added)-1].meta.NumPending, math.MaxInt32))
	within, beyond := upTo(added, w.End)
	n.inputs, n.beyond = within, len(beyond) > 0
	return n, nil
}

// settleWindow settles the inputs of a window that have a decision; nil is no window.
func (w *orderedWork[In]) settleWindow(ctx context.Context, f *inFlight[In], n *window[In]) error {
	if n == nil {
		return nil
	}
	settled, _ := split(n.inputs)
	f.remove(settled)
	err := w.settle(ctx, settled)
	w.Observer.Window(ctx, len(settled), time.Since(n.taken))
	w.metrics.seconds.WithLabelValues(w.Stage.Name).Observe(time.Since(n.taken).Seconds())
	return err
}

// complete also takes the inputs in flight at another replica that died or may no longer work, and returns them. They precede the inputs of
// this window. They arrive when their lease lapses, unless the other replica settles them. Only a replica that has all inputs in flight
// knows that it has no gap, and may write.
func (w *orderedWork[In]) complete(ctx context.Context, c jetstream.Consumer, f *inFlight[In]) (all []*orderedInput[In], err error) {
	for logged := false; ; {
		inFlight, err := w.inFlight(ctx, c)
		here, _, _ := f.size()
		missing := inFlight - here
		if err != nil || missing <= 0 {
			return all, err
		}
		if !logged {
			logged = true
			w.Log.InfoContext(ctx, "waiting for events that another replica has in flight", "events", missing)
		}
		messages, err := pull(ctx, c, max(w.Stage.Workers-here, 1), missing)
		more, errAdd := f.add(messages)
		all = append(all, more...)
		if err := errors.Join(errAdd, err, ctx.Err()); err != nil {
			return nil, err
		}
	}
}

// inFlight asks the server how many inputs all replicas have in flight.
func (w *orderedWork[In]) inFlight(ctx context.Context, c jetstream.Consumer) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	is, err := c.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up the consumer: %w", err)
	}
	w.measure(is)
	return is.NumAckPending, nil
}

// pull takes up to most messages that the stream has now, and waits a while for the first. It requests more than one only if the first one's
// metadata shows more, or if the caller knows the number. A standby gets no messages.
func pull(ctx context.Context, c jetstream.Consumer, most, known int) ([]jetstream.Msg, error) {
	messages, err := fetch(ctx, c, 1)
	if err != nil || len(messages) == 0 {
		return messages, err
	}
	meta, err := messages[0].Metadata()
	if err != nil {
		return messages, fmt.Errorf("read a message's metadata: %w", err)
	}
	rest := min(most-1, max(known-1, int(min(meta.NumPending, 1<<20))))
	more, err := pullKnown(ctx, c, rest, len(messages[0].Data()), len(messages[0].Data()))
	return append(messages, more...), err
}

// pullKnown takes a number of messages that the stream has, or fewer if the inputs in flight reach their size. They have this number of bytes
// already, and the largest of them this size.
func pullKnown(ctx context.Context, c jetstream.Consumer, count, bytes, largest int) (messages []jetstream.Msg, err error) {
	for count > 0 && bytes < inFlightBytes {
		want := min(count, slice)
		if largest > largeInput {
			want = min(count, largeSlice)
		}
		more, err := fetch(ctx, c, want)
		messages = append(messages, more...)
		if err != nil || len(more) < want {
			return messages, err
		}
		for _, m := range more {
			bytes += len(m.Data())
			largest = max(largest, len(m.Data()))
		}
		count -= want
	}
	return messages, nil
}

// fetch makes one request, and returns the received messages, also after a failure. It waits for a third of the time after which the
// server considers this replica dead.
func fetch(ctx context.Context, c jetstream.Consumer, most int) ([]jetstream.Msg, error) {
	limit, cancel := context.WithTimeout(ctx, c.CachedInfo().Config.PinnedTTL/3)
	defer cancel()
	batch, err := c.Fetch(most, jetstream.FetchPriorityGroup(flow.Active), jetstream.FetchContext(limit))
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		messages = append(messages, m)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return messages, fmt.Errorf("pull: %w", err)
	}
	return messages, nil
}

// upTo splits ordered inputs into those up to a sequence and those after it; 0 means no end.
func upTo[In any](inputs []*orderedInput[In], end uint64) (within, beyond []*orderedInput[In]) {
	n := slices.IndexFunc(inputs, func(i *orderedInput[In]) bool { return end > 0 && i.meta.Sequence.Stream > end })
	if n < 0 {
		return inputs, nil
	}
	return inputs[:n], inputs[n:]
}
