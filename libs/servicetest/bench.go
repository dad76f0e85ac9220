// Package servicetest runs a service with real dependencies for its tests: a provisioned broker, a dedupe store, and HTTP listeners.
package servicetest

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Bench is the environment of one service in one test.
type Bench struct {
	Env    service.Env
	Broker *realtest.Broker
	Logged *Logged // the service's log

	t      testing.TB
	begins sync.Once // of the dedupe store
}

// timeout bounds the wait for results that should arrive at once.
const timeout = 20 * time.Second

// New provisions a separate broker. The Env may be changed until Start.
func New(t testing.TB, settings config.Config) *Bench {
	t.Helper()
	broker := realtest.NATS(t)
	conn, js := broker.Connect()
	b := &Bench{Broker: broker, Logged: new(Logged), t: t}
	b.must("provision", flow.Provision(t.Context(), js, 1))
	memory, err := js.KeyValue(t.Context(), flow.Memory)
	b.must("open the dedupe store", err)
	state, err := js.KeyValue(t.Context(), flow.State)
	b.must("open the state", err)
	gaps, err := dedupe.WatchGaps(context.WithoutCancel(t.Context()), state)
	b.must("watch the gaps", err)
	t.Cleanup(func() { _ = gaps.Close() })

	b.Env = service.Env{
		Name: t.Name(), Config: settings, Live: config.NewLive(settings), Metrics: prometheus.NewRegistry(), NATS: conn, JS: js,
		Log:    slog.New(slog.NewJSONHandler(b.Logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Health: new(service.Health), Public: service.NewRoutes(), Gaps: gaps,
		Limits: limit.NewLocal(), Now: time.Now,
		Claims: func(o dedupe.Options) dedupe.Store {
			return dedupe.NewGuard(dedupe.NewBucket(memory, o), event.Log{JS: js, Stream: flow.Signing}, gaps, o)
		},
	}
	return b
}

// Start runs the service and returns when it is up; the service stops with the test, and must stop without an error.
func (b *Bench) Start(run func(context.Context, service.Env) error) {
	b.t.Helper()
	up := make(chan struct{})
	b.Env.Live = config.NewLive(b.Env.Config)
	b.Env.Up = func() { close(up) }
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, b.Env) }()
	b.t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			b.must("the service's end", err)
		case <-time.After(30 * time.Second):
			b.t.Error("the service did not stop within 30 s")
		}
	})
	select {
	case <-up:
	case err := <-ended:
		ended <- nil
		b.t.Fatalf("the service stopped before it was ready: %v", err)
	case <-time.After(timeout):
		b.t.Fatal("the service was not ready in time")
	}
}

// Listen opens the service's public listener and returns its URL.
func (b *Bench) Listen() string {
	server := httptest.NewServer(b.Env.Public)
	b.t.Cleanup(server.Close)
	return server.URL
}

// Publish stores a message and fails the test if the stream does not accept it. Before a notification it stores the event that caused the
// notification, as ingest does: see Cause.
func (b *Bench) Publish(m *nats.Msg, err error) {
	b.t.Helper()
	b.must("make a message", err)
	if to, ok := flow.ParseNotification(m.Subject); ok && to.Channel != "" {
		if n, err := notification.Decode(m.Data); err == nil {
			b.Cause(n)
		}
	}
	ack, err := b.Env.JS.PublishMsg(b.t.Context(), m)
	b.must("publish "+m.Subject, err)
	if ack.Duplicate {
		b.t.Fatalf("the stream treated %s as a duplicate", m.Subject)
	}
}

// Cause stores the event that the notification names as its cause. As in an installation, the dedupe store begins with an empty log. An empty
// store beside a log with messages counts as a store that lost its data.
func (b *Bench) Cause(n *notifyv1.Notification) {
	b.t.Helper()
	b.begins.Do(func() {
		memory := b.Env.Claims(dedupe.Options{Namespace: "bench", Lease: time.Second, Remember: time.Hour})
		_, err := memory.Claim(b.t.Context(), dedupe.NewOwner(), "begin")
		b.must("begin the dedupe store", err)
	})
	e := &signingv1.SigningEvent{
		Id: n.GetEventId(), Source: n.GetSource(), Provider: n.GetProvider(), Document: &signingv1.Document{Id: n.GetDocumentId()},
		Type: event.OtherRecorded, // a type that causes no message
	}
	if causes := event.KindOf(n.GetKind()).After; len(causes) > 0 {
		e.Type = causes[0]
	}
	m, err := event.Message(b.t.Context(), e)
	b.must("make the cause of a notification", err)
	m.Header.Del("Nats-Msg-Id") // the same event may cause messages about several of a test's documents
	_, err = b.Env.JS.PublishMsg(b.t.Context(), m)
	b.must("publish "+m.Subject, err)
}

// Await returns the first count messages on a subject or filter, stored before or after the call, in the stream's order.
func (b *Bench) Await(stream, filter string, count int) []jetstream.Msg {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), timeout)
	defer cancel()
	consumer, err := b.Env.JS.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	b.must("read "+stream, err)
	messages, err := consumer.Messages()
	b.must("read "+stream, err)
	defer messages.Stop()
	var found []jetstream.Msg
	for len(found) < count {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			b.t.Fatalf("%d of %d messages on %s in %s: %v\nlog:\n%s", len(found), count, filter, stream, err, b.Logged)
		}
		found = append(found, m)
	}
	return found
}

// Settled waits until a stage has acknowledged all messages that were published for it before the call.
func (b *Bench) Settled(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), timeout)
	defer cancel()
	last := b.last(ctx, flow.StageNamed(name))
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		consumer, err := b.Env.JS.Consumer(ctx, flow.StageNamed(name).Stream, name)
		b.must("request the consumer "+name, err)
		state := consumer.CachedInfo()
		if state.Delivered.Stream >= last && state.NumPending == 0 && state.NumAckPending == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			b.t.Fatalf("%s has %d pending and %d in flight\nlog:\n%s", name, state.NumPending, state.NumAckPending, b.Logged)
		}
	}
}

// last returns the sequence of the last message for a stage. The stage's consumer gets a message a moment after the publisher's ack, and has
// no pending message until then.
func (b *Bench) last(ctx context.Context, s flow.Stage) uint64 {
	b.t.Helper()
	stream, err := b.Env.JS.Stream(ctx, s.Stream)
	b.must("read the stream "+s.Stream, err)
	var last uint64
	for _, filter := range s.Consumes {
		m, err := stream.GetLastMsgForSubject(ctx, filter)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		b.must("read the last message on "+filter, err)
		last = max(last, m.Sequence)
	}
	return last
}

// Count returns the number of messages that a stream holds now on a subject or filter.
func (b *Bench) Count(stream, filter string) int {
	b.t.Helper()
	s, err := b.Env.JS.Stream(b.t.Context(), stream)
	b.must("request "+stream, err)
	info, err := s.Info(b.t.Context(), jetstream.WithSubjectFilter(filter))
	b.must("request "+stream, err)
	count := 0
	for _, n := range info.State.Subjects {
		count += int(n)
	}
	return count
}

// NeverLogged fails the test when one of the secrets was logged.
func (b *Bench) NeverLogged(secrets ...string) {
	b.t.Helper()
	logged := b.Logged.String()
	for _, s := range secrets {
		if strings.Contains(logged, s) {
			b.t.Errorf("%q was logged:\n%s", s, logged)
		}
	}
}

func (b *Bench) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// RetrySoon returns a stage whose retries follow after 20 ms, 40 ms, … instead of 1 s, 2 s, …
func RetrySoon(name string) flow.Stage {
	s := flow.StageNamed(name)
	s.Policy.FirstDelay /= 50
	s.Policy.MaxDelay = 50 * s.Policy.FirstDelay
	return s
}
