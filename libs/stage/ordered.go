package stage

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/flow"
)

// Ordered runs a stage whose outputs must have the order of its stream. One replica works, and the others wait as standbys. The runner takes
// windows of inputs. It writes one window at a time; meanwhile it settles the one before it and takes the next one.
//
// A window is split into lanes. The order is kept within a lane, and lanes are independent of each other. An input that does not pass stops
// its lane: no later input of the lane is written or settled until it has passed, or was given up. There is no last attempt, because the
// later inputs would fail in the same way.
type Ordered[In any] struct {
	Stage flow.Stage // Workers limits the inputs in flight: a window is half of them
	JS    jetstream.JetStream
	// Backoff is the delay after a failed attempt. MaxAttempts has no effect.
	Backoff flow.Policy
	// Decode reads an input. An input that cannot be decoded is given up.
	Decode func(in Input) (In, error)
	// Reach reports whether the other side can be reached. A replica that cannot reach it leaves the work to another replica.
	Reach func(ctx context.Context) error
	// Lanes returns the function that assigns an input to its lane. It is called before each attempt, because the lanes may change.
	Lanes func(ctx context.Context) (lane func(In) int, err error)
	// Write writes inputs of one lane in order, and returns how many it wrote. If it did not write all, err is the outcome of the next one.
	// Lanes are written concurrently.
	Write    func(ctx context.Context, lane int, inputs []In) (written int, err error)
	Observer Observer
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	// End is the last sequence of the stream that is written; 0 for no end. A run with an end has its own temporary consumer, and
	// thus neither a floor nor a lag.
	End uint64

	Limits Limits
}

// Observer gets the events of an ordered runner.
type Observer interface {
	Failed(ctx context.Context, err error) // an attempt to reach the other side or to write failed; another one follows
	Passed(ctx context.Context)            // the other side took everything, or there was nothing to write
	Active(active bool)                    // this replica works, or is a standby
	Waiting(inputs int)                    // the number of inputs that are not settled
	Dropped(reason string)                 // an input was skipped, or given up and its dead letter stored; called by lanes concurrently
	Window(ctx context.Context, settled int, took time.Duration)
}

// Limits are the times of an ordered runner that tests shorten. A zero is replaced by its default.
type Limits struct {
	// Finish is how long a write may continue after the end: 10 s less than the 25 s that a service has.
	Finish time.Duration
	// Lag is the interval at which the lag is measured, also by a standby and by a replica that cannot reach the other side.
	Lag time.Duration
}

func (l Limits) orDefault() Limits {
	if l.Finish == 0 {
		l.Finish = 15 * time.Second
	}
	if l.Lag == 0 {
		l.Lag = 2 * time.Second
	}
	return l
}

// Run works until ctx ends, or until all inputs up to End are settled; it returns ctx's error if ctx ends before. When ctx ends, it finishes
// the write in progress, settles the written inputs, and returns the others to the stream. It waits for an unavailable broker. It fails if
// the stage's consumer is missing or has wrong settings, or if the connection was closed.
func (r Ordered[In]) Run(ctx context.Context) error {
	m, err := newMetrics(r.Metrics)
	if err != nil {
		return err
	}
	r = r.withDefaults()
	s := source{r.Stage, r.Stage.Stream, r.Stage.Workers, r.JS, r.Log}
	w := &orderedWork[In]{Ordered: r, source: s, metrics: m}
	if r.End > 0 {
		return w.run(ctx)
	}
	m.begin(r.Stage.Name, false)
	w.floors = &Floors{JS: r.JS, Stage: r.Stage, Stream: s.stream}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return w.run(ctx) })
	all.Go(func() error {
		return reportLag(ctx, []source{s}, []*Floors{w.floors}, r.Metrics, r.Limits.Lag, w.measure)
	})
	return all.Wait()
}

func (r Ordered[In]) withDefaults() Ordered[In] {
	r.Limits = r.Limits.orDefault()
	r.Backoff.MaxAttempts = math.MaxInt
	return r
}

// orderedWork is the work of one replica.
type orderedWork[In any] struct {
	Ordered[In]
	source  source
	metrics metrics
	floors  *Floors // nil for a run with an end

	active   bool // the server lets this replica work
	reached  bool // the other side was reached since the start, or since inputs were last returned to the stream
	returned bool // inputs were returned to the stream that could not be written
	failures int  // attempts that failed in a row
}

func (w *orderedWork[In]) run(ctx context.Context) error {
	var c jetstream.Consumer
	for ctx.Err() == nil {
		if !w.reached && !w.reach(ctx) {
			continue
		}
		if c == nil {
			var err error
			if c, err = w.source.consumer(ctx); err != nil || ctx.Err() != nil {
				return err
			}
		}
		err := w.windows(ctx, c)
		switch {
		case errors.Is(err, jetstream.ErrPinIDMismatch): // the server lets another replica work
			w.setActive(false)
		case err != nil:
			if err := w.source.wait(ctx, err); err != nil {
				return err
			}
		case w.End > 0 && w.atEnd(ctx, c):
			w.leave(ctx, c)
			return nil
		}
	}
	w.leave(ctx, c)
	if w.End > 0 {
		return ctx.Err()
	}
	return nil
}

// reach checks that the other side can be reached, and waits for the backoff if it cannot.
func (w *orderedWork[In]) reach(ctx context.Context) bool {
	if err := w.Reach(ctx); err != nil {
		w.setActive(false)
		w.failed(ctx, err)
		return false
	}
	w.reached = true
	if !w.returned { // without Reach, only a write shows that the other side accepts inputs again
		w.passed(ctx)
	}
	return true
}

// failed waits until another attempt is due, at most until ctx ends.
func (w *orderedWork[In]) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the shutdown stopped the attempt
	}
	w.failures++
	if errors.Is(err, errNoDeadLetter) {
		w.Log.WarnContext(ctx, "broker failure", "stage", w.Stage.Name, "error", err)
	} else {
		w.Observer.Failed(ctx, err)
	}
	d := decide(read(err), w.failures, w.Backoff)
	paused(d.Wait(rand.Float64()), ctx.Done()) //nolint:gosec // it spreads retries; guessing it gains nothing
}

func (w *orderedWork[In]) passed(ctx context.Context) {
	w.failures = 0
	w.Observer.Passed(ctx)
}

func (w *orderedWork[In]) setActive(active bool) {
	if w.active == active {
		return
	}
	w.active = active
	w.Observer.Active(active)
}

// measure reports the inputs that are not settled: those that no replica has taken, and those in flight.
func (w *orderedWork[In]) measure(is *jetstream.ConsumerInfo) {
	w.Observer.Waiting(int(min(is.NumPending, math.MaxInt32)) + is.NumAckPending)
}

// atEnd reports whether all inputs up to the end are settled.
func (w *orderedWork[In]) atEnd(ctx context.Context, c jetstream.Consumer) bool {
	is, err := c.Info(ctx)
	return err == nil && (is.AckFloor.Stream >= w.End || is.NumPending == 0 && is.NumAckPending == 0)
}

// leave lets another replica work at once, instead of after flow.StandBy.
func (w *orderedWork[In]) leave(ctx context.Context, c jetstream.Consumer) {
	if !w.active || c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = w.JS.Conn().FlushWithContext(ctx) // first the inputs that were returned
	if is, err := c.Info(ctx); err == nil && w.floors != nil {
		_ = w.floors.Keep(ctx, is)
	}
	if s, err := w.JS.Stream(ctx, w.Stage.Stream); err == nil {
		_ = s.UnpinConsumer(ctx, w.Stage.Name, flow.Active)
	}
	w.setActive(false)
}
