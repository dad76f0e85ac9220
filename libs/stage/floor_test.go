package stage_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/stage"
)

// worker is a running stage on a provisioned broker.
type worker struct {
	t    *testing.T
	js   jetstream.JetStream
	mu   sync.Mutex
	did  []string
	fail string // attempts at these messages fail
}

func (w *worker) do(_ context.Context, in stage.Event[string]) ([]stage.Out, error) {
	if in.Data == w.fail {
		return nil, errors.New("it fails")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, in.Data)
	return nil, nil
}

func (w *worker) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.did))
}

// work starts the stage, and stops it when it has done want and only failing messages are left.
func (w *worker) work(want ...string) {
	w.t.Helper()
	s := flow.StageNamed(flow.Enricher)
	r := stage.Runner[string]{
		Stage: s, JS: w.js, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Decode: func(data []byte) (string, error) { return string(data), nil }, Do: w.do,
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	for !slices.Equal(w.all(), want) || w.waiting() > 0 {
		if time.Now().After(deadline) {
			w.t.Fatalf("did %v, want %v", w.all(), want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		w.t.Fatal(err)
	}
}

// waiting returns the number of messages that the stage has not done, except for the failing one.
func (w *worker) waiting() int {
	c, err := w.js.Consumer(w.t.Context(), flow.Signing, flow.Enricher)
	if err != nil {
		w.t.Fatal(err)
	}
	n := int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
	if w.fail != "" {
		n--
	}
	return n
}

func (w *worker) publish(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, err := w.js.Publish(w.t.Context(), "signing.v1.acme.clickwrap.document.sent."+name, []byte(name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *worker) lose() {
	w.t.Helper()
	if err := w.js.DeleteConsumer(w.t.Context(), flow.Signing, flow.Enricher); err != nil {
		w.t.Fatal(err)
	}
}

func (w *worker) provision() {
	w.t.Helper()
	if err := flow.Provision(w.t.Context(), w.js, 1); err != nil {
		w.t.Fatal(err)
	}
}

// A lost consumer is recreated where its stage stopped, any number of times. Then the stage does its unfinished messages.
func TestALostConsumerResumesWhereItsStageStopped(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	w := &worker{t: t, js: js}
	w.provision()
	w.publish("a", "b", "c")
	w.work("a", "b", "c")
	w.publish("d") // waits while the stage is stopped
	w.lose()
	w.provision()
	w.work("a", "b", "c", "d")
	w.lose()
	w.publish("e")
	w.provision()
	w.work("a", "b", "c", "d", "e")
}

// A message that waits for another attempt keeps the floor below it, even if all later messages are done.
func TestTheFloorIsBelowUnfinishedMessages(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	w := &worker{t: t, js: js, fail: "b"}
	w.provision()
	w.publish("a", "b", "c")
	w.work("a", "c")
	w.lose()
	w.provision()
	w.fail = ""
	w.work("a", "b", "c", "c") // c again; that is harmless, because its outputs have stable ids
}

// Only the user of the service that runs a stage may write the stage's floors.
func TestAStageMayWriteOnlyItsOwnFloors(t *testing.T) {
	t.Parallel()
	for _, u := range flow.Users() {
		for _, subject := range u.Publish {
			own := func(s flow.Stage) bool { return s.Program() == u.Name && subject == "$KV.STATE.floor."+s.Name+".>" }
			if strings.HasPrefix(subject, "$KV.STATE.floor.") && !slices.ContainsFunc(flow.Stages, own) {
				t.Errorf("%s may write %s", u.Name, subject)
			}
		}
		for _, s := range flow.Stages {
			if s.Program() == u.Name && !slices.Contains(u.Publish, "$KV.STATE.floor."+s.Name+".>") {
				t.Errorf("%s may not write its floors", s.Name)
			}
		}
	}
}

// A stage continues to work if its floor cannot be stored.
func TestAFloorThatCannotBeStored(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	w := &worker{t: t, js: js}
	w.provision()
	if err := js.DeleteKeyValue(t.Context(), flow.State); err != nil {
		t.Fatal(err)
	}
	w.publish("a")
	w.work("a")
	f := &stage.Floors{JS: js, Stage: flow.StageNamed(flow.Enricher), Stream: flow.Signing}
	f.Done(&jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: 1}})
	is := &jetstream.ConsumerInfo{AckFloor: jetstream.SequenceInfo{Stream: 1}}
	if err := f.Keep(t.Context(), is); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("%v", err)
	}
	w.provision()
	if err := f.Keep(t.Context(), is); err != nil { // nothing is forgotten
		t.Error(err)
	}
}
