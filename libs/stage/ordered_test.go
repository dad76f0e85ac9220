package stage

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// runOrdered runs an ordered stage until stop is called, and expects that it ends without an error.
func (h *harness) runOrdered(r Ordered[record]) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		h.Helper()
		cancel()
		h.must(await(h.T, ended, "the end"))
	}
}

// send publishes inputs, and waits until the consumer counts them.
func (h *harness) send(name string, data ...string) (last uint64) {
	h.Helper()
	want := h.left(name) + len(data)
	for _, d := range data {
		ack, err := h.outside.Publish(context.Background(), "in."+name, []byte(d))
		h.must(err)
		last = ack.Sequence
	}
	h.until("the consumer counts its inputs", func() bool { return h.left(name) == want })
	return last
}

// An input whose dead letter is not stored stays in the stream. That does not count as a failure of the other side.
func TestAnOrderedStageWaitsForItsDeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("refusing", 8)
	seen := &quiet{}
	r.Observer = seen
	tried := make(chan struct{}, 1000)
	r.Write = func(context.Context, int, []record) (int, error) {
		tried <- struct{}{}
		return 0, outcome.PermanentFor("refused", errors.New("it is too large"))
	}
	settled := h.settlements("refusing")
	h.refuse("DLQ", "dlq.v1.>", true)
	h.send("refusing", "0/0/passes")
	stop := h.runOrdered(r)
	for range 3 {
		await(t, tried, "another attempt")
	}
	if got := settled(); len(got) > 0 || len(seen.failed) > 0 {
		t.Errorf("settled %v, failures of the other side %v", got, seen.failed)
	}
	h.refuse("DLQ", "dlq.v1.>", false)
	h.until("it is given up", func() bool { return h.left("refusing") == 0 })
	stop()
	if seen.dropped["refused"] != 1 {
		t.Errorf("dropped %v", seen.dropped)
	}
}

// A stop lets a write finish, and settles the inputs that the other side confirmed meanwhile. A write that hangs is cancelled.
func TestAStopInTheMiddleOfAWindow(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"finishes": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			r := h.ordered(name, 8)
			r.Limits.Finish = 50 * time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			r.Write = func(writing context.Context, _ int, records []record) (int, error) {
				cancel()
				if hangs {
					<-writing.Done()
					return 2, writing.Err()
				}
				return len(records), writing.Err()
			}
			settled := h.settlements(name)
			h.send(name, "0/0/passes", "0/1/passes", "0/2/passes", "0/3/passes")
			h.must(r.Run(ctx))
			want := map[bool]int{true: 2, false: 4}[hangs]
			if got := settled(); len(got) != want || !slices.IsSorted(got) {
				t.Errorf("settled %v, want the first %d", got, want)
			}
		})
	}
}

// A broker that stops after the write gets the acks after its restart, and the other side gets nothing twice.
func TestTheBrokerRestartsBetweenWriteAndAck(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("restarted", 8)
	var stored []int
	down := make(chan struct{}, 1)
	r.Write = func(_ context.Context, _ int, records []record) (int, error) {
		for _, r := range records {
			stored = append(stored, r.number)
		}
		h.server.Shutdown()
		h.server.WaitForShutdown()
		down <- struct{}{}
		return len(records), nil
	}
	h.send("restarted", "0/0/passes", "0/1/passes", "0/2/passes")
	stop := h.runOrdered(r)
	await(t, down, "the write")
	h.start()
	h.until("all is settled", func() bool {
		c, err := h.outside.Consumer(context.Background(), "IN", "restarted")
		return err == nil && c.CachedInfo().NumPending+uint64(c.CachedInfo().NumAckPending) == 0
	})
	stop()
	if !slices.Equal(stored, []int{0, 1, 2}) {
		t.Errorf("stored %v", stored)
	}
}

// A lane that fails for longer than the server waits for a pull is returned to the stream. Inputs that passed in other lanes are settled.
func TestAWindowThatFailsIsReturned(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("returned", 8)
	r.Write = func(_ context.Context, lane int, records []record) (int, error) {
		if lane == 1 {
			return 0, errors.New("it failed")
		}
		return len(records), nil
	}
	h.send("returned", "0/0/passes", "1/1/passes", "0/2/passes", "1/3/passes")
	settled := h.settlements("returned")
	stop := h.runOrdered(r)
	h.until("the failed lane is delivered again", func() bool {
		c, err := h.outside.Consumer(context.Background(), "IN", "returned")
		h.must(err)
		return c.CachedInfo().NumRedelivered > 0
	})
	stop()
	if got := settled(); len(got) != 2 {
		t.Errorf("settled %v, want the two inputs of lane 0", got)
	}
}

// While a window is written, the one before it is settled and the next one is taken.
func TestTheNextWindowIsTakenDuringAWrite(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("ahead", 8)
	begun, proceed := make(chan int), make(chan struct{})
	r.Write = func(_ context.Context, _ int, records []record) (int, error) {
		begun <- len(records)
		<-proceed
		return len(records), nil
	}
	inFlight := func() int {
		c, err := h.outside.Consumer(context.Background(), "IN", "ahead")
		h.must(err)
		return c.CachedInfo().NumAckPending
	}
	settled := h.settlements("ahead")
	h.send("ahead", "0/0/passes", "0/1/passes", "0/2/passes", "0/3/passes", "0/4/passes", "0/5/passes", "0/6/passes", "0/7/passes", "0/8/passes", "0/9/passes")
	stop := h.runOrdered(r)
	if n := await(t, begun, "the first window"); n != 4 {
		t.Errorf("a window of %d inputs, want half of those in flight", n)
	}
	h.until("the second window is taken", func() bool { return inFlight() == 8 })
	if got := settled(); len(got) > 0 {
		t.Errorf("settled %v before the write", got)
	}
	proceed <- struct{}{}
	await(t, begun, "the second window")
	h.until("the first is settled, and the third is taken", func() bool { return len(settled()) == 4 && inFlight() == 6 })
	proceed <- struct{}{}
	await(t, begun, "the third window")
	proceed <- struct{}{}
	h.until("all is settled", func() bool { return h.left("ahead") == 0 })
	stop()
}

// A window that was taken while the one before it failed is written after that one, even if both were returned to the stream.
func TestAWindowWaitsForAFailedOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("behind", 4)
	var stored []int
	r.Write = func(_ context.Context, _ int, records []record) (int, error) {
		c, err := h.outside.Consumer(context.Background(), "IN", "behind")
		h.must(err)
		if c.CachedInfo().NumRedelivered == 0 { // until both windows were returned
			return 0, errors.New("it failed")
		}
		for _, r := range records {
			stored = append(stored, r.number)
		}
		return len(records), nil
	}
	h.send("behind", "0/0/passes", "0/1/passes", "0/2/passes", "0/3/passes", "0/4/passes", "0/5/passes")
	stop := h.runOrdered(r)
	h.until("all is settled", func() bool { return h.left("behind") == 0 })
	stop()
	if !slices.Equal(stored, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("stored %v", stored)
	}
}

// Inputs of a total size beyond the limit are settled before more are taken, so that two windows need no more memory than one.
func TestLargeInputsAreSettledBeforeMoreAreTaken(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("large", 512)
	// A request waits for a third of PinnedTTL. With the harness's 1.5 s, a request of 8 MiB ended before its messages had arrived if other
	// tests used the CPU, and the windows became shorter.
	c, err := h.outside.Consumer(t.Context(), "IN", "large")
	h.must(err)
	slow := c.CachedInfo().Config
	slow.PinnedTTL, slow.AckWait = 3*time.Minute, 3*time.Minute
	_, err = h.outside.UpdateConsumer(t.Context(), "IN", slow)
	h.must(err)
	settled := h.settlements("large")
	var before []int // the settled inputs at the begin of each write
	r.Write = func(_ context.Context, _ int, records []record) (int, error) {
		before = append(before, len(settled()))
		return len(records), nil
	}
	const large = 1 + largeSlice + 3 // the third request for messages is one too many
	body := "0/0/passes/" + strings.Repeat("x", inFlightBytes/largeSlice)
	for range large {
		h.send("large", body)
	}
	stop := h.runOrdered(r)
	h.until("all is settled", func() bool { return h.left("large") == 0 })
	stop()
	if !slices.Equal(before, []int{0, 1 + largeSlice}) {
		t.Errorf("settled at the begin of each write: %v", before)
	}
}

// A run with an end stops there, and leaves the later inputs to another run.
func TestAnOrderedRunWithAnEnd(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("bounded", 8)
	seen := &quiet{}
	r.Observer = seen
	r.Write = func(_ context.Context, _ int, records []record) (int, error) { return len(records), nil }
	r.End = h.send("bounded", "0/0/passes", "0/1/passes", "0/2/passes")
	h.send("bounded", "0/3/passes")
	h.must(r.Run(t.Context()))
	if seen.settled != 3 || h.left("bounded") != 1 {
		t.Errorf("settled %d, left %d", seen.settled, h.left("bounded"))
	}
	r.End++
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before the end: %v", err)
	}
}

func TestAnUnfitConsumerOfAnOrderedStage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.ordered("unfit", 8)
	for name, spoil := range map[string]func(*jetstream.ConsumerConfig){
		"another window": func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 100 },
		"several workers": func(c *jetstream.ConsumerConfig) {
			c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
		},
		"its own limit": func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 },
	} {
		c, err := h.outside.Consumer(t.Context(), "IN", "unfit")
		h.must(err)
		is := c.CachedInfo().Config
		is.Durable, is.Name = "unfit-"+strings.ReplaceAll(name, " ", "-"), ""
		spoil(&is)
		_, err = h.outside.CreateConsumer(t.Context(), "IN", is)
		h.must(err)
		r.Stage.Name = is.Durable
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "signrelay provision") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An ordered stage never gives up after a number of failures or after a long outage.
func TestNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		maxDelay := 3 * time.Second
		w := orderedWork[record]{Ordered: Ordered[record]{
			Backoff: flow.Policy{FirstDelay: 100 * time.Millisecond, MaxDelay: maxDelay}, Observer: &quiet{},
			Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		}.withDefaults()}
		began := time.Now()
		for attempts := 1; time.Since(began) < 30*24*time.Hour; attempts++ {
			before := time.Now()
			w.failed(t.Context(), errors.New("Kafka is unavailable"))
			if delay := time.Since(before); delay < 75*time.Millisecond || delay > 2*maxDelay {
				t.Fatalf("attempt %d: a delay of %v", attempts, delay)
			}
		}
	})
}
