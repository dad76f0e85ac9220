package stage

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

func TestMissingConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, spoil := range map[string]func(*flow.Stage){
		"consumer": func(s *flow.Stage) { s.Name = "missing" },
		"stream":   func(s *flow.Stage) { s.Stream = "NOWHERE" },
	} {
		r := h.stage()
		spoil(&r.Stage)
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
			t.Errorf("missing %s: %v", name, err)
		}
	}
	if _, err := h.js.Consumer(t.Context(), "IN", "missing"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the worker created its own consumer: %v", err)
	}
}

func TestUnfitConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: "counting", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5},
		{Durable: "careless", AckPolicy: jetstream.AckNonePolicy, MaxDeliver: -1},
	} {
		_, err := h.js.CreateConsumer(t.Context(), "IN", c)
		h.must(err)
		r := h.stage()
		r.Stage.Name = c.Durable
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
			t.Errorf("%s: %v", c.Durable, err)
		}
	}
}

func TestADeletedConsumerEndsTheRun(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 3
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	h.publish("input", nil)
	h.expect("do", "+ACK")
	h.must(h.outside.DeleteConsumer(t.Context(), "IN", "tester"))
	if err := await(t, ended, "the end"); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
		t.Errorf("Run: %v", err)
	}
}

// single returns a pool of one worker.
func single(t *testing.T, work func(jetstream.Msg) time.Duration) *pool {
	return newPool(1, work, t.Context().Done())
}

// silent is an iterator that received nothing for as long as a heartbeat may take.
type silent struct{ jetstream.MessagesContext }

func (silent) Next(...jetstream.NextOpt) (jetstream.Msg, error) {
	return nil, jetstream.ErrNoHeartbeat
}
func (silent) Drain() {}
func (silent) Stop()  {}

// A consumer that was deleted while the broker was unavailable never reports that: it is silent.
func TestSilenceOfADeletedConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.must(h.outside.DeleteConsumer(t.Context(), "IN", "tester"))
	s := source{h.stage().Stage, "IN", 1, h.js, h.stage().Log}
	if err := s.each(t.Context(), silent{}, single(t, nil), 1); !gone(err) {
		t.Errorf("%v", err)
	}
}

func TestTheBrokerComesBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	done := make(chan string, 10)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) { done <- in.Data; return nil, nil }
	h.run(r)
	h.publish("before", nil)
	if got := await(t, done, "the first input"); got != "before" {
		t.Fatal(got)
	}
	h.expect("+ACK")
	h.server.Shutdown()
	h.server.WaitForShutdown()
	h.start()
	for published := false; !published; {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := h.outside.Publish(ctx, "in.acme", []byte("after"))
		published = err == nil
		cancel()
	}
	if got := await(t, done, "an input after the outage"); got != "after" {
		t.Fatal(got)
	}
}

func TestTheBrokerIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("input", nil)
	h.server.Shutdown()
	h.server.WaitForShutdown()
	r := h.stage()
	done := make(chan struct{}, 1)
	r.Do = func(context.Context, Event[string]) ([]Out, error) { done <- struct{}{}; return nil, nil }
	h.run(r)
	h.start()
	await(t, done, "the input")
}

// broken is a consumer whose iterators cannot be opened.
type broken struct {
	jetstream.Consumer
	asked int
}

func (b *broken) Messages(...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	b.asked++
	return nil, errPlain
}

func TestBrokerFailuresCauseNoBusyLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		b := new(broken)
		s := source{log: slog.New(slog.DiscardHandler)}
		p := single(t, nil)
		defer p.close()
		if err := s.take(ctx, b, p); err != nil {
			t.Errorf("a broker failure ended take: %v", err)
		}
		if b.asked < 5 || b.asked > 11 {
			t.Errorf("%d requests in 10 s", b.asked)
		}
	})
}

func TestAShutdownLetsWorkInFlightFinish(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 2
	release := make(chan struct{})
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		h.record("do")
		<-release
		return []Out{out("out.sent", "sent", "")}, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	h.publish("input", nil)
	h.expect("do")
	for h.waiting() != 1 { // until the idle worker requests a message
	}
	cancel()
	for h.waiting() != 0 { // until it requests no more messages
	}
	h.publish("too late", nil)
	close(release)
	if err := await(t, ended, "the end"); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.expect("out.sent", "+ACK")
	for h.info().NumPending != 1 { // the server counts it a moment after it stored it
		if n := h.info().NumAckPending; n != 0 {
			t.Fatalf("%d in flight, want the second left to other workers", n)
		}
	}
}

// waiting returns the number of requests for work that wait at the broker.
func (h *harness) waiting() int { return h.info().NumWaiting }

func (h *harness) info() *jetstream.ConsumerInfo {
	c, err := h.outside.Consumer(h.Context(), "IN", "tester")
	h.must(err)
	return c.CachedInfo()
}

func TestAShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Stage.Policy.MaxAttempts = 1 // attempts that the shutdown stops do not count
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		h.record("do")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, 50*time.Millisecond) }()
	h.publish("input", nil)
	h.expect("claim: claimed", "do")
	cancel()
	if err := await(t, ended, "the end"); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.expect("release: undone", "-NAK after")
}

// late is an iterator whose message arrives after the end.
type late struct {
	ctx context.Context
	msg jetstream.Msg
	silent
}

func (l *late) Next(...jetstream.NextOpt) (jetstream.Msg, error) {
	<-l.ctx.Done()
	if msg := l.msg; msg != nil {
		l.msg = nil
		return msg, nil
	}
	return nil, jetstream.ErrMsgIteratorClosed
}

func TestAMessageAfterTheShutdownIsReturned(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("input", nil)
	c, err := h.js.Consumer(t.Context(), "IN", "tester")
	h.must(err)
	msg, err := c.Next()
	h.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := source{h.stage().Stage, "IN", 1, h.js, h.stage().Log}
	err = s.each(ctx, &late{ctx: ctx, msg: msg}, single(t, func(jetstream.Msg) time.Duration { t.Error("worked on"); return 0 }), 2)
	if !errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.Errorf("%v", err)
	}
	h.expect("-NAK after")
	if h.delay != 100*time.Millisecond {
		t.Errorf("delivered again after %v", h.delay)
	}
}

func TestAClosedConnectionEndsTheRun(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	h.publish("input", nil)
	h.expect("do", "+ACK")
	h.nc.Close()
	if err := await(t, ended, "the end"); err == nil {
		t.Error("Run returns no error after the connection was closed")
	}
}

// iterators is a consumer that opens these iterators one after the other. It ends the test's context with the last one.
type iterators struct {
	jetstream.Consumer
	left []jetstream.MessagesContext
	end  context.CancelFunc
}

func (i *iterators) Messages(...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	if len(i.left) == 0 {
		i.end()
		return silent{}, nil
	}
	next := i.left[0]
	i.left = i.left[1:]
	return next, nil
}

// stalled is an iterator that receives nothing until it is drained, and then gets its message.
type stalled struct {
	silent
	msg     jetstream.Msg
	drained chan struct{}
}

func (s *stalled) Drain() { close(s.drained) }

func (s *stalled) Next(...jetstream.NextOpt) (jetstream.Msg, error) {
	select {
	case <-s.drained:
	default:
		return nil, jetstream.ErrNoHeartbeat
	}
	if msg := s.msg; msg != nil {
		s.msg = nil
		return msg, nil
	}
	return nil, jetstream.ErrMsgIteratorClosed
}

// A broker that stalls responds to a request late. The stage does not wait for the ack wait then: a new iterator sends a request,
// and a message for the old one is returned to the stream.
func TestASilentIteratorIsReplaced(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("input", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &iterators{left: []jetstream.MessagesContext{&stalled{msg: h.receive("IN"), drained: make(chan struct{})}}, end: cancel}
	s := source{h.stage().Stage, "IN", 1, h.js, h.stage().Log}
	err := s.take(ctx, c, single(t, func(jetstream.Msg) time.Duration { t.Error("worked on"); return 0 }))
	if err != nil || len(c.left) > 0 || ctx.Err() == nil {
		t.Errorf("%v, %d iterators left, want a new one at once", err, len(c.left))
	}
	h.expect("-NAK after")
}

// endless is an iterator that always has a message.
type endless struct{ silent }

func (endless) Next(...jetstream.NextOpt) (jetstream.Msg, error) { return nil, nil }

// While one of our own parts is unavailable, a worker takes one input a second, instead of the whole backlog again and again.
func TestAWorkerRestsWhileAPartIsAway(t *testing.T) {
	t.Parallel()
	p := flow.StageNamed(flow.SMSSender).Policy
	for name, c := range map[string]struct {
		err         error
		least, most int // in 10 s
	}{
		"the dedupe store is unavailable": {outcome.Away("memory-away", errPlain), 9, 11},
		"the broker is unavailable":       {outcome.Away("publish", errPlain), 9, 11},
		"done":                            {nil, 1000, 1000},
		"failed":                          {errPlain, 1000, 1000},
		"held":                            {outcome.PutOff(time.Second, "held", errHeld), 1000, 1000},
		"put off":                         {outcome.Later(time.Second, "rate-limit"), 1000, 1000},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			taken := 0
			worker := newPool(1, func(jetstream.Msg) time.Duration {
				if taken++; taken == 1000 {
					cancel()
				}
				return (&attempt{outcome: read(c.err)}).rest(p)
			}, ctx.Done())
			_ = source{workers: 1}.each(ctx, endless{}, worker, 1)
			worker.close()
			if taken < c.least || taken > c.most {
				t.Errorf("%s: %d inputs were taken in 10 s", name, taken)
			}
		})
	}
}

// A message that was processed during an outage of the broker is acked after the outage. It is not processed again after the ack wait of 30 s.
func TestTheBrokerGetsTheAckAfterItsOutage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	working, release := make(chan struct{}, 10), make(chan struct{})
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		working <- struct{}{}
		<-release
		return nil, nil
	}
	h.run(r)
	h.publish("input", nil)
	await(t, working, "the attempt")
	h.server.Shutdown()
	h.server.WaitForShutdown()
	close(release)
	h.start()
	h.until("the ack arrives", func() bool {
		c, err := h.outside.Consumer(t.Context(), "IN", "tester")
		return err == nil && c.CachedInfo().NumAckPending == 0
	})
	if len(working) > 0 {
		t.Error("the message was processed again")
	}
}
