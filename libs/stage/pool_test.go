package stage

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// requests counts the requests for inputs that the runner's connection sends.
func (h *harness) requests() *nats.Subscription {
	requests, err := h.outside.Conn().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.IN.tester")
	h.must(err)
	h.must(h.outside.Conn().Flush())
	return requests
}

func TestOneRequestTakesSeveralInputs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	requests := h.requests()
	r := h.stage()
	r.Stage.Workers = 16
	done := make(chan string, 100)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) { done <- in.Data; return nil, nil }
	h.run(r)
	const inputs = 80
	for n := range inputs {
		h.publish(strconv.Itoa(n), nil)
	}
	for range inputs {
		await(t, done, "an input")
	}
	if n, _, err := requests.Pending(); err != nil || n > inputs/3 {
		t.Errorf("%d requests for %d inputs, %v", n, inputs, err)
	}
}

// A replica that cannot begin its prefetched inputs, because its workers hang, returns them before their ack wait ends. Another one does them
// all, and the first one then takes no more inputs than it has idle workers.
func TestInputsThatCannotBeBegunAreReturned(t *testing.T) {
	t.Parallel()
	h := setup(t) // with an ack wait of 30 s
	hangs := h.stage()
	hangs.Stage.Workers = 8 // and four prefetched inputs
	release := make(chan struct{})
	begun := make(chan string, 100)
	hangs.Do = func(_ context.Context, in Event[string]) ([]Out, error) { begun <- in.Data; <-release; return nil, nil }
	h.run(hangs)
	var waiting []string
	for n := range 12 {
		h.publish(strconv.Itoa(n), nil)
		waiting = append(waiting, strconv.Itoa(n))
	}
	for range 8 {
		input := await(t, begun, "an attempt")
		waiting = slices.DeleteFunc(waiting, func(w string) bool { return w == input })
	}
	other := h.stage()
	other.Stage.Workers = 8
	_, other.JS = h.connect()
	done := make(chan string, 100)
	other.Do = func(_ context.Context, in Event[string]) ([]Out, error) { done <- in.Data; return nil, nil }
	started := time.Now()
	h.run(other)
	for range waiting {
		if input := await(t, done, "a returned input"); !slices.Contains(waiting, input) {
			t.Errorf("input %s was done by both replicas", input)
		}
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("the inputs were not returned: they came after %v, with their ack wait", took)
	}
	close(release)
	h.until("all inputs are settled", func() bool { return h.info().NumAckPending == 0 })
	if len(begun) > 0 {
		t.Error("the replica whose workers hang took another input")
	}
}

// At the end of the program, prefetched inputs that no worker has begun are returned at once.
func TestAShutdownReturnsPrefetchedInputs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 8
	release := make(chan struct{})
	r.Do = func(context.Context, Event[string]) ([]Out, error) { <-release; return nil, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for n := range 12 {
		h.publish(strconv.Itoa(n), nil)
	}
	h.until("more inputs than workers are in flight", func() bool { return h.info().NumAckPending > 8 })
	cancel()
	h.expect("-NAK after")
	close(release)
	h.must(await(t, ended, "the end"))
	for acked := 0; acked < 8; {
		switch action := h.next(); action {
		case "+ACK":
			acked++
		case "-NAK after":
		default:
			t.Errorf("%q", action)
		}
	}
}

// An ack that was lost with its connection is sent again on the next one.
func TestALostAckIsSentAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	conn, _ := h.connect()
	sent, ends := new(acks), make(chan struct{})
	returned := make(chan struct{})
	go func() { defer close(returned); sent.resend(conn, ends) }()
	defer func() { close(ends); await(t, returned, "the end") }()
	h.publish("input", nil)
	msg := h.receive("IN")
	sent.add(msg.Reply()) // and never sent
	h.until("the ack arrives", func() bool {
		h.must(conn.ForceReconnect())
		time.Sleep(10 * time.Millisecond)
		sent.add(msg.Reply())
		return h.info().NumAckPending == 0
	})
}
