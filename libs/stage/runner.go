package stage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Runner runs one stage: it takes inputs from the stage's durable consumer, and from REPLAY the inputs that an operator
// replays to it, passes them to Do, and settles them.
type Runner[In any] struct {
	Stage  flow.Stage
	JS     jetstream.JetStream
	Decode func(data []byte) (In, error)
	Do     Func[In]
	// GivenUp returns the outputs when an input is given up (notification.failed); nil for none.
	GivenUp func(in Event[In], reason error) []Out
	// Claims is the dedupe store of an effect stage; nil for a stage without an effect. Lease is the lease of a claim: an
	// attempt extends its claim every third of it.
	Claims dedupe.Store
	Lease  time.Duration
	// Keep returns what Rebuild needs to make the outputs of a completed input again, which is less than the outputs: the input itself has
	// the rest. It returns nil if that is impossible; then the outputs are stored. nil for a stage that always stores them.
	Keep    func(outs []Out) []byte
	Rebuild func(ctx context.Context, in Event[In], kept []byte) ([]Out, error)
	// Left is the same store with the lease of a claim whose effect may have happened; nil if that lease is the same, see Left.
	Left    dedupe.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer

	now func() time.Time // a test sets it; nil for time.Now
}

// finishFor is how long attempts in flight may continue after the shutdown signal: 5 s less than the 30 s that a program has.
const finishFor = 25 * time.Second

// Run works until ctx ends; then it takes no more inputs, finishes those in flight, returns the others to the stream, and returns nil. It
// waits for an unavailable broker. It fails if one of the stage's consumers is missing or has wrong settings, or if the connection was
// closed.
func (r Runner[In]) Run(ctx context.Context) error { return r.run(ctx, finishFor) }

func (r Runner[In]) run(ctx context.Context, finish time.Duration) error {
	if r.Stage.Effect && r.Claims == nil {
		return fmt.Errorf("stage %s has an outside effect and no dedupe store", r.Stage.Name)
	}
	metrics, err := newMetrics(r.Metrics)
	if err != nil {
		return err
	}
	metrics.begin(r.Stage.Name, r.Stage.Effect)
	sources := r.sources()
	consumers := make([]jetstream.Consumer, len(sources))
	for i, s := range sources {
		if consumers[i], err = s.consumer(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}

	workers, ctx := errgroup.WithContext(ctx)
	inFlight, abandon := context.WithCancelCause(context.WithoutCancel(ctx)) // attempts continue for a while after ctx ends
	defer abandon(nil)
	go func() {
		<-ctx.Done()
		select {
		case <-time.After(finish):
			abandon(errShutdown)
		case <-inFlight.Done():
		}
	}()
	floors := make([]*Floors, len(sources))
	for i, s := range sources {
		floors[i] = &Floors{JS: r.JS, Stage: r.Stage, Stream: s.stream}
	}
	workers.Go(func() error {
		return reportLag(ctx, sources, floors, r.Metrics, lagEvery, func(*jetstream.ConsumerInfo) {})
	})
	acked := new(acks)
	workers.Go(func() error { acked.resend(r.JS.Conn(), ctx.Done()); return nil })
	for i, s := range sources {
		work := r.chain(metrics, consumers[i].CachedInfo(), floors[i], acked, ctx.Done())
		attempts := newPool(s.workers, func(msg jetstream.Msg) time.Duration {
			a, err := newAttempt(msg)
			if err != nil {
				r.Log.ErrorContext(inFlight, "message without metadata", "error", err)
				return 0
			}
			_, _ = work(inFlight, a) // settled and observed
			return a.rest(r.Stage.Policy)
		}, ctx.Done())
		ended := make(chan struct{})
		workers.Go(func() error {
			defer close(ended)
			return s.take(ctx, consumers[i], attempts)
		})
		workers.Go(func() error { // a failure of take ends ctx before the attempts in flight have ended
			<-ended
			attempts.close()
			return nil
		})
	}
	err = workers.Wait()
	for i, s := range sources {
		floors[i].keepAtEnd(inFlight, s)
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(inFlight), time.Second)
	defer cancel()
	_ = r.JS.Conn().FlushWithContext(flush) // the last acks; an input whose ack is lost is delivered again after the ack wait
	return err
}

// sources returns the stage's own stream and the inputs that operators replay to it. One worker is enough for replays, so the others keep
// working on new inputs.
func (r Runner[In]) sources() []source {
	replayed := source{r.Stage, flow.Replay, 1, r.JS, r.Log}
	if r.Stage.Stream == flow.Replay { // an ordered stage reads its own stream with Ordered
		return []source{replayed}
	}
	return []source{{r.Stage, r.Stage.Stream, r.Stage.Workers, r.JS, r.Log}, replayed}
}

// chain builds the middleware around an attempt, outermost first. The program ends when ends is closed.
func (r Runner[In]) chain(m metrics, from *jetstream.ConsumerInfo, floors *Floors, acked *acks, ends <-chan struct{}) handler {
	p := publisher{js: r.JS, made: from.Created}
	now := r.now
	if now == nil {
		now = time.Now
	}
	return chain(r.do,
		observed(r.Stage, r.Log, m),
		settled(r.JS.Conn(), floors, acked, ends),
		leased(r.JS.Conn(), from.Config.AckWait),
		decided(r.Stage, decider{r.Stage.Policy, newPostponed(), now}, p),
		published(p),
		claimed(r.Stage, r.Claims, r.Left, r.Lease, r.keeping()),
		timed(r.Stage.Timeout),
		recovered,
	)
}

// keeping applies Keep and Rebuild to attempts.
func (r Runner[In]) keeping() keeping {
	if r.Keep == nil || r.Rebuild == nil {
		return keeping{}
	}
	return keeping{
		keep: r.Keep,
		rebuild: func(ctx context.Context, a *attempt, kept []byte) ([]Out, error) {
			in, err := r.event(a)
			if err != nil {
				return nil, err
			}
			return r.Rebuild(ctx, in, kept)
		},
	}
}

// event decodes the attempt's input.
func (r Runner[In]) event(a *attempt) (Event[In], error) {
	data, err := r.Decode(a.input.Data)
	if err != nil {
		return Event[In]{}, outcome.PermanentFor("undecodable", err)
	}
	return Event[In]{
		Subject: a.input.Subject, Header: a.input.Header,
		ID: a.input.ID, Attempt: a.nth, Unknown: a.unknown, Replays: a.input.Replays, Stored: a.input.FirstSeen, Data: data,
	}, nil
}

// do calls the stage's function. It is the innermost handler.
func (r Runner[In]) do(ctx context.Context, a *attempt) ([]Out, error) {
	in, err := r.event(a)
	if err != nil {
		return nil, err
	}
	if r.GivenUp != nil {
		a.givenUp = func(reason error) []Out { return r.GivenUp(in, reason) }
	}
	return r.Do(ctx, in)
}
