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
		h.record("do %s", in.Data)
		return []Out{out("out.sent", "one", "first"), out("out.sent", "two", "second")}, nil
	}
	h.run(r)
	h.publish("input", nil)
	h.expect("do input", "out.sent", "out.sent", "+ACK")
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
		h.record("do, attempt %d", in.Attempt)
		return []Out{out("out.sent", "one", "1"), out("out.sent", "two", "too long to be taken")}, nil
	}
	h.run(r)
	h.publish("input", nil)
	// More often than MaxAttempts: failures of our own parts never cause a dead letter.
	for range 4 {
		h.expect("do, attempt 1", "out.sent", "out.sent", "-NAK after")
	}
	h.refuse("OUT", "out.>", false)
	for h.next() != "+ACK" {
		if len(h.stored("DLQ")) > 0 {
			t.Fatal("the input became a dead letter")
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
	h.publish("input", nil)
	h.expect("-NAK after")
}

func TestFailuresAreRetriedLater(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy.FirstDelay = 20 * time.Millisecond
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("attempt %d", in.Attempt)
		if in.Attempt < 3 {
			return []Out{out("out.sent", "never", "of a failed attempt")}, errPlain
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", nil)
	for n, mean := range []time.Duration{20 * time.Millisecond, 40 * time.Millisecond} {
		h.expect(fmt.Sprintf("attempt %d", n+1), "-NAK after")
		if h.delay < mean*3/4 || h.delay > mean*5/4 {
			t.Errorf("after attempt %d: %v, want a quarter around %v", n+1, h.delay, mean)
		}
	}
	h.expect("attempt 3", "+ACK")
}

// Ready outputs are stored before the rest of the work is postponed, and exist once however often the stage returns them.
// If they cannot be stored, the work is retried as soon as any other.
func TestReadyOutputsOfPostponedWorkAreStored(t *testing.T) {
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
	h.publish("input", nil)
	h.expect("out.sent", "-NAK after")
	if h.delay < 50*time.Millisecond {
		t.Errorf("%v, sooner than the stage requested", h.delay)
	}
	h.expect("out.sent", "-NAK after", "out.sent", "out.sent", "+ACK")
	stream, err := h.outside.Stream(t.Context(), "OUT")
	h.must(err)
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d are stored, want 2", n)
	}
}

func TestPostponedWorkIsRetriedSoonIfItsOutputsAreNotStored(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		return []Out{{Subject: "out.sent"}}, outcome.Later(time.Hour, "not-yet") // without an id it is not published
	}
	h.run(r)
	h.publish("input", nil)
	h.expect("-NAK after")
	if h.delay > time.Minute {
		t.Errorf("retried after %v", h.delay)
	}
}

func TestARequestedDelayIsKept(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		return nil, outcome.RetryAfter(time.Hour, errPlain)
	}
	h.run(r)
	h.publish("input", nil)
	h.expect("-NAK after")
	if h.delay < time.Hour {
		t.Errorf("%v, sooner than the requested hour", h.delay)
	}
}

func TestSkipAcks(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Skip("not-ours") }
	h.run(r)
	h.publish("input", nil)
	h.expect("+ACK")
}

func TestTimeoutEndsAnAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Timeout = 30 * time.Millisecond
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		<-ctx.Done()
		h.record("%v", ctx.Err())
		return nil, ctx.Err()
	}
	h.run(r)
	h.publish("input", nil)
	// Counted like any failure: the third is the last.
	h.expect("context deadline exceeded", "-NAK after", "context deadline exceeded", "-NAK after",
		"context deadline exceeded", "dlq.v1.tester", "+TERM attempts-exhausted")
}

// A backlog behind a rate limit is delivered hundreds of times before its first call. An input that then fails for the first time still has
// all its attempts.
func TestPostponedInputsUseNoAttempts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy.FirstDelay, r.Stage.Policy.MaxDelay = time.Hour, time.Hour
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		if in.Attempt <= 5 { // more often than MaxAttempts
			return nil, outcome.Later(time.Millisecond, "rate-limit")
		}
		h.record("fail")
		return nil, errPlain
	}
	h.run(r)
	h.publish("input", nil)
	for range 5 {
		h.expect("-NAK after")
	}
	h.expect("fail", "-NAK after")
	if h.delay < 45*time.Minute || h.delay > 75*time.Minute {
		t.Errorf("delivered again after %v, want a quarter around the first delay", h.delay)
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
		h.publish("input", c.header)
		first, second := await(t, ids, "an id"), await(t, ids, "an id on the redelivery")
		if first != second || first == "" || c.want != "" && first != c.want || seen[first] {
			t.Errorf("%v: id %q, then %q; want %q", c.header, first, second, c.want)
		}
		seen[first] = true
	}
}

func TestNoMoreInputsThanWorkersAreInFlight(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Workers = 3
	release := make(chan struct{})
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		h.record("do")
		<-release
		return nil, nil
	}
	h.run(r)
	for range 10 {
		h.publish("input", nil)
	}
	h.expect("do", "do", "do")
	for h.info().NumPending != 7 { // left for other replicas
		if n := h.info().NumAckPending; n != 3 {
			t.Fatalf("%d in flight, want 3", n)
		}
	}
	close(release)
	acks := 0
	for range 7 + 10 { // seven more are done, and all ten are acked
		if h.next() == "+ACK" {
			acks++
		}
	}
	if acks != 10 {
		t.Errorf("%d acked, want 10", acks)
	}
}

func TestAnEffectNeedsADedupeStore(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Effect = true
	if err := r.Run(t.Context()); err == nil {
		t.Error("an effect stage runs without a dedupe store")
	}
}

func TestTheTraceContinues(t *testing.T) {
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
	h.publish("input", nats.Header{"traceparent": {trace}})
	for h.next() != "+ACK" {
	}
	got := map[string]string{}
	for _, msg := range h.stored("OUT") {
		got[msg.Subject] = msg.Header.Get("traceparent")
	}
	if got["out.a"] != trace || got["out.b"] != own {
		t.Errorf("traces %v", got)
	}
}
