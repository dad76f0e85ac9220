package stage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/outcome"
)

// write writes the inputs in as many rounds as necessary. Inputs without a decision afterwards were not written before ctx ended,
// or before returnAfter had elapsed without progress.
func (w *orderedWork[In]) write(ctx context.Context, inputs []*orderedInput[In], returnAfter time.Duration) {
	// A write may continue after ctx ends, but no round begins after it.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(w.Limits.Finish, stop) })()

	w.decode(inputs)
	last := time.Now()
	for left := undecided(inputs); len(left) > 0 && ctx.Err() == nil; {
		err := w.round(ctx, writing, left)
		before := len(left)
		if left = undecided(left); len(left) < before {
			last = time.Now()
		}
		if err == nil {
			w.returned = false
			w.passed(ctx)
			continue
		}
		w.failed(ctx, err)
		if time.Since(last) > returnAfter {
			w.reached, w.returned = false, true
			return
		}
	}
}

// decode reads the inputs. An input that makes Decode panic is given up, too: it would panic at each attempt and stop the whole stage.
func (w *orderedWork[In]) decode(inputs []*orderedInput[In]) {
	for _, i := range inputs {
		err := guarded(func() (err error) {
			i.data, err = w.Decode(i.input)
			return err
		})
		if err != nil && outcome.Of(err).Kind() != outcome.Skips {
			err = outcome.PermanentFor("undecodable", err)
		}
		i.unread = err
	}
}

// undecided returns the inputs that have not passed and were not given up.
func undecided[In any](inputs []*orderedInput[In]) (left []*orderedInput[In]) {
	_, left = split(inputs)
	return left
}

// split separates the inputs that have a decision from those that have none.
func split[In any](inputs []*orderedInput[In]) (decided, left []*orderedInput[In]) {
	for _, i := range inputs {
		if i.decision.Kind != "" {
			decided = append(decided, i)
		} else {
			left = append(left, i)
		}
	}
	return decided, left
}

// round writes the lanes concurrently, each until an input fails.
func (w *orderedWork[In]) round(ctx, writing context.Context, inputs []*orderedInput[In]) error {
	laneOf, err := w.Lanes(ctx)
	if err != nil {
		return err
	}
	lanes := map[int][]*orderedInput[In]{}
	for _, i := range inputs {
		if i.unread != nil {
			if err := w.decide(writing, i, i.unread); err != nil {
				return err
			}
			continue
		}
		n := laneOf(i.data)
		lanes[n] = append(lanes[n], i)
	}
	var all errgroup.Group
	for n, lane := range lanes {
		all.Go(func() error { return w.writeLane(writing, n, lane) })
	}
	return all.Wait()
}

// writeLane writes the inputs of a lane in order, until one fails that may pass later.
func (w *orderedWork[In]) writeLane(ctx context.Context, lane int, inputs []*orderedInput[In]) error {
	data := make([]In, len(inputs))
	for n, i := range inputs {
		data[n] = i.data
	}
	for len(inputs) > 0 {
		var written int
		err := guarded(func() (err error) {
			written, err = w.Write(ctx, lane, data)
			return err
		})
		for _, i := range inputs[:written] {
			i.decision = Decision{Kind: done}
		}
		inputs, data = inputs[written:], data[written:]
		switch {
		case len(inputs) == 0:
			return err
		case err == nil:
			return fmt.Errorf("%d inputs of lane %d were not written, without an error", len(inputs), lane)
		}
		if err := w.decide(ctx, inputs[0], err); err != nil {
			return err
		}
		inputs, data = inputs[1:], data[1:]
	}
	return nil
}

// decide decides what happens to the first input of a lane that was not written. It returns an error if the input must be written
// again: the one with which it failed, or the one with which its dead letter was not stored.
func (w *orderedWork[In]) decide(ctx context.Context, i *orderedInput[In], failure error) error {
	i.outcome = read(failure)
	i.decision = decide(i.outcome, 1, w.Backoff)
	switch i.decision.Kind {
	case done, retry:
	case skip:
		w.Observer.Dropped(i.decision.Reason)
		return nil
	case giveUp:
		err := publish(ctx, w.JS, deadLetter(w.Stage, i.attempt, failure))
		if err == nil {
			w.Observer.Dropped(i.decision.Reason)
			w.Log.ErrorContext(ctx, "given up", "stage", w.Stage.Name, "reason", i.decision.Reason, "id", i.input.ID, "error", failure)
			return nil
		}
		failure = errors.Join(errNoDeadLetter, err)
	}
	i.decision = Decision{}
	return failure
}

var errNoDeadLetter = errors.New("the dead letter is not stored")

// guarded turns a panic into an error, as recovered does.
func guarded(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = outcome.Panicked(&panicError{value, debug.Stack()})
		}
	}()
	return f()
}

// settle acks or terminates the inputs that have a decision. The server reads a connection in order, so its confirmation of the last
// one is a confirmation of all.
func (w *orderedWork[In]) settle(ctx context.Context, inputs []*orderedInput[In]) error {
	if len(inputs) == 0 {
		return nil
	}
	conn := w.JS.Conn()
	err := settleUntilConfirmed(conn, ctx.Done(), func() error {
		last := len(inputs) - 1
		for _, i := range inputs[:last] {
			if err := conn.Publish(i.latest.Reply(), i.decision.ack()); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackFor)
		defer cancel()
		_, err := conn.RequestWithContext(ctx, inputs[last].latest.Reply(), inputs[last].decision.ack())
		return err
	})
	if err != nil {
		return fmt.Errorf("ack: %w", err)
	}
	w.ended(inputs)
	return nil
}

// ended counts settled inputs and records them for the floor. It does not count failed attempts, because no policy counts them; the
// Observer gets them.
func (w *orderedWork[In]) ended(inputs []*orderedInput[In]) {
	age, now := w.metrics.age.WithLabelValues(w.Stage.Name), time.Now()
	written, dropped := 0, map[Decision]int{}
	for _, i := range inputs {
		if i.decision.Kind == done {
			written++
		} else {
			dropped[i.decision]++
		}
		age.Observe(now.Sub(i.meta.Timestamp).Seconds())
		if w.floors != nil {
			w.floors.Done(i.meta)
		}
	}
	w.metrics.attempts.WithLabelValues(w.Stage.Name, string(done), "").Add(float64(written))
	for d, n := range dropped {
		w.metrics.attempts.WithLabelValues(w.Stage.Name, string(d.Kind), d.Reason).Add(float64(n))
	}
}

// ack returns the message that settles a delivery. The client library sends the same message, but only once for each delivery, and the
// runner must send a window's acks again after an outage of the broker.
func (d Decision) ack() []byte {
	if d.Kind == giveUp {
		return []byte("+TERM " + d.Reason)
	}
	return ackBody
}

var ackBody = []byte("+ACK")

// returnInputs requests a redelivery soon, here or to another replica. If the request is lost, the server delivers the inputs again after the
// ack wait.
func returnInputs[In any](inputs []*orderedInput[In]) {
	for _, i := range inputs {
		_ = i.latest.NakWithDelay(redeliverAfter)
	}
}
