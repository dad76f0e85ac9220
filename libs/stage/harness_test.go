package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

func TestMain(m *testing.M) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	os.Exit(m.Run())
}

// longest is how long a test waits for an event that must come. Only a test that hangs waits so long.
const longest = time.Minute

// harness is a broker with the streams IN, OUT, DLQ, REPLAY and SIGNING, consumers on IN and REPLAY, and a subscription that records the
// messages on the wire.
//
// The stage's function and the dedupe store also publish their actions on the wire, over the runner's connection. So the server puts all
// actions in one order.
type harness struct {
	*testing.T
	options *server.Options
	server  *server.Server
	nc      *nats.Conn // the runner's
	js      jetstream.JetStream
	outside jetstream.JetStream // the test's
	wire    chan *nats.Msg
	delay   time.Duration // of the last -NAK
}

func setup(t *testing.T) *harness {
	realtest.Server(t, "a NATS server")
	h := &harness{T: t, options: &server.Options{JetStream: true, StoreDir: t.TempDir(), Port: -1, NoSigs: true}, wire: make(chan *nats.Msg, 10_000)}
	h.start()
	t.Cleanup(func() { h.server.Shutdown(); h.server.WaitForShutdown() })
	h.nc, h.js = h.connect()
	var ear *nats.Conn
	ear, h.outside = h.connect()
	for _, subject := range []string{"$JS.ACK.>", "out.>", "dlq.>", "recorded.>"} {
		_, err := ear.ChanSubscribe(subject, h.wire)
		h.must(err)
	}
	h.must(ear.Flush())
	for name, subject := range map[string]string{"IN": "in.>", "OUT": "out.>", "DLQ": "dlq.v1.>", "REPLAY": "replay.v1.>", "SIGNING": "signing.v1.>"} {
		_, err := h.outside.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, AllowDirect: true})
		h.must(err)
	}
	h.consumer(30 * time.Second)
	_, err := h.outside.CreateConsumer(t.Context(), "REPLAY", h.fit("tester"))
	h.must(err)
	return h
}

func (h *harness) start() {
	var err error
	h.server, err = server.NewServer(h.options)
	h.must(err)
	h.server.Start()
	if !h.server.ReadyForConnections(longest) {
		h.Fatal("the broker does not start")
	}
	h.options.Port = h.server.Addr().(*net.TCPAddr).Port // a restarted server keeps its port
}

func (h *harness) connect() (*nats.Conn, jetstream.JetStream) {
	nc, err := nats.Connect(h.server.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	h.must(err)
	h.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	h.must(err)
	return nc, js
}

// consumer creates the stage's consumer, or changes its ack wait.
func (h *harness) consumer(ackWait time.Duration) {
	c := h.fit("tester")
	c.AckWait = ackWait
	_, err := h.outside.CreateOrUpdateConsumer(h.Context(), "IN", c)
	h.must(err)
}

// fit returns the settings of a consumer as provision creates it.
func (h *harness) fit(name string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1}
}

// refuse makes a stream refuse all messages, or accept them again.
func (h *harness) refuse(stream, subjects string, refuse bool) {
	config := jetstream.StreamConfig{Name: stream, Subjects: []string{subjects}, MaxMsgSize: -1}
	if refuse {
		config.MaxMsgSize = 1
	}
	_, err := h.outside.UpdateStream(context.Background(), config)
	h.must(err)
}

// stage returns a fast stage without an effect: three attempts, 10 ms and 20 ms apart.
func (h *harness) stage() Runner[string] {
	return Runner[string]{
		Stage: flow.Stage{
			Name: "tester", Stream: "IN", Workers: 1, Timeout: 20 * time.Second,
			Policy: flow.Policy{MaxAttempts: 3, FirstDelay: 10 * time.Millisecond, MaxDelay: time.Second},
		},
		JS: h.js,
		Decode: func(data []byte) (string, error) {
			if string(data) == "garbage" {
				return "", errors.New("cannot be read")
			}
			return string(data), nil
		},
		Do:      func(context.Context, Event[string]) ([]Out, error) { h.record("do"); return nil, nil },
		Log:     slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(),
	}
}

// run runs r until the test ends, and expects that it ends without an error.
func (h *harness) run(r Runner[string]) (stop func()) {
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := await(h.T, ended, "the end"); err != nil {
			h.Errorf("Run: %v", err)
		}
	})
	h.Cleanup(stop)
	return stop
}

// publish puts an input into IN and returns its sequence.
func (h *harness) publish(data string, header nats.Header) uint64 {
	ack, err := h.outside.PublishMsg(context.Background(), &nats.Msg{Subject: "in.acme", Header: header, Data: []byte(data)})
	h.must(err)
	return ack.Sequence
}

// record publishes an action of a test's part on the wire.
func (h *harness) record(format string, args ...any) {
	_ = h.nc.Publish("recorded.x", fmt.Appendf(nil, format, args...))
}

// expect waits for these actions on the wire; lease extensions do not count.
func (h *harness) expect(want ...string) {
	h.Helper()
	for i, w := range want {
		if got := h.next(); got != w {
			h.Fatalf("got %q, want %q, after %q", got, w, want[:i])
		}
	}
}

func (h *harness) next() string {
	h.Helper()
	for {
		if action := h.nextOrExtension(); action != "+WPI" {
			return action
		}
	}
}

// nextOrExtension waits for one action: a recorded one, an output's subject, or an ack, nak or extension. An ack that requests the broker's
// confirmation ends with "?".
func (h *harness) nextOrExtension() string {
	h.Helper()
	select {
	case msg := <-h.wire:
		data := string(msg.Data)
		switch {
		case strings.HasPrefix(msg.Subject, "recorded."):
			return data
		case !strings.HasPrefix(msg.Subject, "$JS.ACK."):
			return msg.Subject
		case strings.HasPrefix(data, "-NAK "):
			var nanoseconds int64
			if _, err := fmt.Sscanf(data, `-NAK {"delay": %d}`, &nanoseconds); err != nil {
				h.Errorf("%q is not a nak with a delay", data)
			}
			h.delay = time.Duration(nanoseconds)
			return "-NAK after"
		case data == "+ACK" && msg.Reply != "":
			return "+ACK?"
		default:
			return data
		}
	case <-time.After(longest):
		h.Fatal("nothing more on the wire")
		return ""
	}
}

// stored returns all of a stream's messages.
func (h *harness) stored(stream string) []*jetstream.RawStreamMsg {
	h.Helper()
	s, err := h.outside.Stream(context.Background(), stream)
	h.must(err)
	var all []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(context.Background(), seq)
		h.must(err)
		all = append(all, msg)
	}
	return all
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// await waits for a value from a channel.
func await[T any](t *testing.T, c <-chan T, description string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(longest):
		t.Fatalf("timeout: waited for %s", description)
	}
	return v
}

func out(subject, id, data string) Out {
	return &nats.Msg{Subject: subject, Header: nats.Header{"Nats-Msg-Id": {id}}, Data: []byte(data)}
}
