package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/flow"
)

// A window holds at most 8 MiB and one slice of 32 messages: 256 events of 1 MiB would need too much memory.
// The size is checked between slices. A request must not let the server limit the bytes: if a consumer is replicated, the status with
// which the server then ends a full batch comes before the messages, and the client drops the messages behind it.
const (
	windowBytes = 8 << 20
	slice       = 32
)

// inFlight has the inputs that were delivered to this replica and are not settled.
type inFlight[In any] struct {
	mu     sync.Mutex
	inputs map[uint64]*orderedInput[In] // by their sequence in the stream
}

// orderedInput is one delivery of an input. Its attempt's decision is empty until the input was written, skipped or given up.
type orderedInput[In any] struct {
	*attempt
	data   In
	unread error // from Decode
}

func (f *inFlight[In]) add(messages []jetstream.Msg) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range messages {
		a, err := newAttempt(m)
		if err != nil {
			return err
		}
		f.inputs[a.meta.Sequence.Stream] = &orderedInput[In]{attempt: a} // of two deliveries the later one is settled
	}
	return nil
}

func (f *inFlight[In]) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.inputs)
}

// inOrder returns the inputs in the order of the stream.
func (f *inFlight[In]) inOrder() []*orderedInput[In] {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*orderedInput[In], 0, len(f.inputs))
	for _, sequence := range slices.Sorted(maps.Keys(f.inputs)) {
		all = append(all, f.inputs[sequence])
	}
	return all
}

func (f *inFlight[In]) replies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]string, 0, len(f.inputs))
	for _, i := range f.inputs {
		all = append(all, i.msg.Reply())
	}
	return all
}

// window takes a window of inputs, writes them, and settles them. When ctx ends, it returns unwritten inputs to the stream.
func (w *orderedWork[In]) window(ctx context.Context, c jetstream.Consumer) error {
	taken, err := pull(ctx, c, w.Stage.Workers, 0)
	if len(taken) == 0 {
		if err == nil { // the other side was reached, and there is nothing to write
			w.returned = false
			w.passed(ctx)
		} // Only a replica that has returned inputs must expect that another replica works.
		return err
	}
	w.setActive(true)
	began := time.Now()
	f := &inFlight[In]{inputs: map[uint64]*orderedInput[In]{}}
	leased, end := context.WithCancel(context.WithoutCancel(ctx))
	released := make(chan struct{})
	go func() {
		defer close(released)
		extend(leased, w.JS.Conn(), c.CachedInfo().Config.AckWait/3, f.replies)
	}()
	release := func() { end(); <-released } // an extension after an ack or a nak would cancel it
	defer release()

	if err := errors.Join(err, ctx.Err(), f.add(taken), w.complete(ctx, c, f)); err != nil {
		release()
		returnInputs(f.inOrder())
		if ctx.Err() != nil {
			return nil // the shutdown stopped it
		}
		return err
	}
	inputs, beyond := upTo(f.inOrder(), w.End)
	// After this time without a pull the server lets another replica work, which then waits for the inputs in flight here.
	w.write(ctx, inputs, c.CachedInfo().Config.PinnedTTL)
	release()
	crash.Point("written")
	settled, left := split(inputs)
	err = w.settle(ctx, settled)
	returnInputs(left)
	returnInputs(beyond)
	w.Observer.Window(ctx, len(settled), time.Since(began))
	w.metrics.seconds.WithLabelValues(w.Stage.Name).Observe(time.Since(began).Seconds())
	return err
}

// complete also takes the inputs in flight at another replica that died or may no longer work. They precede the inputs of this window. They
// arrive when their lease lapses, unless the other replica settles them. Only a replica that has all inputs in flight knows that it has no
// gap, and may write.
func (w *orderedWork[In]) complete(ctx context.Context, c jetstream.Consumer, f *inFlight[In]) error {
	for logged := false; ; {
		inFlight, err := w.inFlight(ctx, c)
		missing := inFlight - f.size()
		if err != nil || missing <= 0 {
			return err
		}
		if !logged {
			logged = true
			w.Log.InfoContext(ctx, "waiting for events that another replica has in flight", "events", missing)
		}
		more, err := pull(ctx, c, max(w.Stage.Workers-f.size(), 1), missing)
		if err := errors.Join(f.add(more), err, ctx.Err()); err != nil {
			return err
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
	for size := 0; rest > 0 && size < windowBytes; {
		want := min(rest, slice)
		more, err := fetch(ctx, c, want)
		messages = append(messages, more...)
		if err != nil || len(more) < want {
			return messages, err
		}
		for _, m := range more {
			size += len(m.Data())
		}
		rest -= want
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
