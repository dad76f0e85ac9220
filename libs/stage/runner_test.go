package stage

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/outcome"
)

func TestOutputsAreStoredBeforeTheAck(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("do %s", in.Data)
		return []Out{out("out.sent", "one", "first"), out("out.sent", "two", "second")}, nil
	}
	h.run(r)
	h.publish("letter", nil)
	h.wants("do letter", "out.sent", "out.sent", "+ACK?")
	if got := len(h.stored("OUT")); got != 2 {
		t.Errorf("%d outputs stored, want 2", got)
	}
}

func TestEachOutputIsAwaited(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("OUT", "out.>", true)
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("do, attempt %d", in.Attempt)
		return []Out{out("out.sent", "one", "1"), out("out.sent", "two", "too long to be taken")}, nil
	}
	h.run(r)
	h.publish("letter", nil)
	// More often than MaxAttempts: our own trouble buries nothing.
	for range 4 {
		h.wants("do, attempt 1", "out.sent", "out.sent", "-NAK after")
	}
	h.refuse("OUT", "out.>", false)
	for h.hear() != "+ACK?" {
		if len(h.stored("DLQ")) > 0 {
			t.Fatal("buried")
		}
	}
	var ids []string
	for _, msg := range h.stored("OUT") {
		ids = append(ids, msg.Header.Get("Nats-Msg-Id"))
	}
	slices.Sort(ids)
	if fmt.Sprint(ids) != "[one two]" {
		t.Errorf("stored %v, want each once", ids)
	}
}

func TestAnOutputWithoutAnIDIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return []Out{{Subject: "out.sent"}}, nil }
	h.run(r)
	h.publish("letter", nil)
	h.wants("-NAK after")
}

func TestFailuresAreRetriedLater(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy.FirstDelay = 20 * time.Millisecond
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("attempt %d", in.Attempt)
		if in.Attempt < 3 {
			return []Out{out("out.sent", "never", "of a failed attempt")}, errPlain
		}
		return nil, nil
	}
	h.run(r)
	h.publish("letter", nil)
	for n, mean := range []time.Duration{20 * time.Millisecond, 40 * time.Millisecond} {
		h.wants(fmt.Sprintf("attempt %d", n+1), "-NAK after")
		if h.delay < mean*3/4 || h.delay > mean*5/4 {
			t.Errorf("after attempt %d: %v, want a quarter around %v", n+1, h.delay, mean)
		}
	}
	h.wants("attempt 3", "+ACK?")
}

// Outputs that are ready are stored before the rest of the work is put off, and exist once however often they are made again.
// If they cannot be stored, the work comes again as soon as any other.
func TestWhatFollowsBesideWorkPutOffIsStored(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy.FirstDelay = 20 * time.Millisecond
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		if in.Attempt < 3 {
			return []Out{out("out.sent", "first", "a part")}, outcome.Later(50*time.Millisecond, "not-yet")
		}
		return []Out{out("out.sent", "first", "a part"), out("out.sent", "second", "the rest")}, nil
	}
	h.run(r)
	h.publish("letter", nil)
	h.wants("out.sent", "-NAK after")
	if h.delay < 50*time.Millisecond {
		t.Errorf("%v, sooner than it was put off", h.delay)
	}
	h.wants("out.sent", "-NAK after", "out.sent", "out.sent", "+ACK?")
	stream, err := h.outside.Stream(t.Context(), "OUT")
	h.must(err)
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d are stored, want 2", n)
	}
}

func TestWhatCannotBeStoredBesideWorkPutOffComesSoon(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		return []Out{{Subject: "out.sent"}}, outcome.Later(time.Hour, "not-yet") // without an id it is not published
	}
	h.run(r)
	h.publish("letter", nil)
	h.wants("-NAK after")
	if h.delay > time.Minute {
		t.Errorf("it comes again in %v", h.delay)
	}
}

func TestTheOtherSideNamesTheTime(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		return nil, outcome.RetryAfter(time.Hour, errPlain)
	}
	h.run(r)
	h.publish("letter", nil)
	h.wants("-NAK after")
	if h.delay < time.Hour {
		t.Errorf("%v, sooner than the hour named", h.delay)
	}
}

func TestSkipAcks(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Skip("not-ours") }
	h.run(r)
	h.publish("letter", nil)
	h.wants("+ACK?")
}

func TestTimeoutEndsAnAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Timeout = 30 * time.Millisecond
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		<-ctx.Done()
		h.say("%v", ctx.Err())
		return nil, ctx.Err()
	}
	h.run(r)
	h.publish("letter", nil)
	// Counted like any failure: the third is the last.
	h.wants("context deadline exceeded", "-NAK after", "context deadline exceeded", "-NAK after",
		"context deadline exceeded", "dlq.v1.tester", "+TERM attempts-exhausted")
}

// A backlog behind a rate limit is delivered hundreds of times before its first call. What then fails for the first time has
// all its attempts before it.
func TestWhatWePutOffOurselvesTakesNoAttempts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy.FirstDelay, r.Stage.Policy.MaxDelay = time.Hour, time.Hour
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		if in.Attempt <= 5 { // more often than MaxAttempts
			return nil, outcome.Later(time.Millisecond, "rate-limit")
		}
		h.say("fail")
		return nil, errPlain
	}
	h.run(r)
	h.publish("letter", nil)
	for range 5 {
		h.wants("-NAK after")
	}
	h.wants("fail", "-NAK after")
	if h.delay < 45*time.Minute || h.delay > 75*time.Minute {
		t.Errorf("comes back after %v, want a quarter around the first delay", h.delay)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	ids := make(chan string, 10)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		ids <- in.ID
		if in.Attempt == 1 {
			return nil, errPlain
		}
		return nil, nil
	}
	h.run(r)
	seen := map[string]bool{}
	for _, c := range []struct {
		header nats.Header
		want   string
	}{
		{nats.Header{"Nats-Msg-Id": {"a"}, "ce-id": {"b"}}, "a"},
		{nats.Header{"ce-id": {"b"}}, "b"},
		{nil, ""},
		{nil, ""},
	} {
		h.publish("letter", c.header)
		first, second := await(t, ids, "an id"), await(t, ids, "an id on the redelivery")
		if first != second || first == "" || c.want != "" && first != c.want || seen[first] {
			t.Errorf("%v: id %q, then %q; want %q", c.header, first, second, c.want)
		}
		seen[first] = true
	}
}

func TestWorkersAndNoMoreAreInHand(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 3
	release := make(chan struct{})
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		h.say("do")
		<-release
		return nil, nil
	}
	h.run(r)
	for range 10 {
		h.publish("letter", nil)
	}
	h.wants("do", "do", "do")
	for h.info().NumPending != 7 { // left for other replicas
		if n := h.info().NumAckPending; n != 3 {
			t.Fatalf("%d in hand, want 3", n)
		}
	}
	close(release)
	acks := 0
	for range 7 + 10 { // seven more are done, and all ten are acked
		if h.hear() == "+ACK?" {
			acks++
		}
	}
	if acks != 10 {
		t.Errorf("%d acked, want 10", acks)
	}
}

func TestAnEffectNeedsAMemory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Effect = true
	if err := r.Run(t.Context()); err == nil {
		t.Error("an effect stage runs without a memory")
	}
}

func TestTheTraceGoesOn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const trace, own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-11111111111111111111111111111111-2222222222222222-01"
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		traced := out("out.b", "b", "")
		traced.Header.Set("traceparent", own)
		return []Out{out("out.a", "a", ""), traced}, nil
	}
	h.run(r)
	h.publish("letter", nats.Header{"traceparent": {trace}})
	for h.hear() != "+ACK?" {
	}
	got := map[string]string{}
	for _, msg := range h.stored("OUT") {
		got[msg.Subject] = msg.Header.Get("traceparent")
	}
	if got["out.a"] != trace || got["out.b"] != own {
		t.Errorf("traces %v", got)
	}
}
