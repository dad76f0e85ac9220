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
)

func TestMissingConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, spoil := range map[string]func(*flow.Stage){
		"consumer": func(s *flow.Stage) { s.Name = "nobody" },
		"stream":   func(s *flow.Stage) { s.Stream = "NOWHERE" },
	} {
		r := h.stage()
		spoil(&r.Stage)
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
			t.Errorf("missing %s: %v", name, err)
		}
	}
	if _, err := h.js.Consumer(t.Context(), "IN", "nobody"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the worker made its own: %v", err)
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
	h.publish("letter", nil)
	h.wants("do", "+ACK?")
	h.must(h.outside.DeleteConsumer(t.Context(), "IN", "tester"))
	if err := await(t, ended, "the end"); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
		t.Errorf("Run: %v", err)
	}
}

// silent is an iterator that heard nothing for as long as a heartbeat may take.
type silent struct{ jetstream.MessagesContext }

func (silent) Next(...jetstream.NextOpt) (jetstream.Msg, error) {
	return nil, jetstream.ErrNoHeartbeat
}
func (silent) Drain() {}
func (silent) Stop()  {}

// A consumer that was deleted while the broker was away never says so: it is silent.
func TestSilenceOfADeletedConsumer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.must(h.outside.DeleteConsumer(t.Context(), "IN", "tester"))
	s := source{h.stage().Stage, "IN", 1, h.js, h.stage().Log}
	if err := s.each(t.Context(), silent{}, nil); !gone(err) {
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
	h.wants("+ACK?")
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
	h.publish("letter", nil)
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

func TestTroubleMakesNoBusyLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		b := new(broken)
		s := source{log: slog.New(slog.DiscardHandler)}
		if err := s.take(ctx, b, nil); err != nil {
			t.Errorf("it is not fatal: %v", err)
		}
		if b.asked < 5 || b.asked > 11 {
			t.Errorf("asked %d times in 10 s", b.asked)
		}
	})
}

func TestTheEndLetsWorkInHandFinish(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 2
	release := make(chan struct{})
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		h.say("do")
		<-release
		return []Out{out("out.sent", "sent", "")}, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	h.publish("letter", nil)
	h.wants("do")
	for h.waiting() != 1 { // until the idle worker asks
	}
	cancel()
	for h.waiting() != 0 { // until it asks no more
	}
	h.publish("too late", nil)
	close(release)
	if err := await(t, ended, "the end"); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.wants("out.sent", "+ACK?")
	for h.info().NumPending != 1 { // the server counts it a moment after it stored it
		if n := h.info().NumAckPending; n != 0 {
			t.Fatalf("%d in hand, want the second left to others", n)
		}
	}
}

// waiting is how many requests for work wait at the broker.
func (h *house) waiting() int { return h.info().NumWaiting }

func (h *house) info() *jetstream.ConsumerInfo {
	c, err := h.outside.Consumer(h.Context(), "IN", "tester")
	h.must(err)
	return c.CachedInfo()
}

func TestTheEndDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Stage.Policy.MaxAttempts = 1 // what the end stops is not counted
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		h.say("do")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, 50*time.Millisecond) }()
	h.publish("letter", nil)
	h.wants("claim: ours", "do")
	cancel()
	if err := await(t, ended, "the end"); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.wants("give back: undone", "-NAK after")
}

// late is an iterator whose message comes when nobody wants it any more.
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

func TestWhatComesAfterTheEndIsHandedBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("letter", nil)
	c, err := h.js.Consumer(t.Context(), "IN", "tester")
	h.must(err)
	msg, err := c.Next()
	h.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := source{h.stage().Stage, "IN", 1, h.js, h.stage().Log}
	err = s.each(ctx, &late{ctx: ctx, msg: msg}, func(jetstream.Msg) { t.Error("worked on") })
	if !errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.Errorf("%v", err)
	}
	h.wants("-NAK after")
	if h.delay != 100*time.Millisecond {
		t.Errorf("comes back after %v", h.delay)
	}
}

func TestAClosedConnectionEndsTheRun(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	h.publish("letter", nil)
	h.wants("do", "+ACK?")
	h.nc.Close()
	if err := await(t, ended, "the end"); err == nil {
		t.Error("Run ends well without a connection")
	}
}
