package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

func TestADeadLetterHoldsTheOriginal(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		return nil, outcome.Permanent(errors.New("refused\r\nfor good"))
	}
	h.run(r)
	headers := nats.Header{
		"Nats-Msg-Id":          {"a"},
		"Nats-Expected-Stream": {"IN"},
		"ce-id":                {"a"},
		"lower-case":           {"one", "two"},
		"Signrelay-Dlq-Reason": {"of an earlier life"},
	}
	sequence := h.publish("the \x00 bytes", headers)
	h.expect("dlq.v1.tester", "+TERM permanent")

	dead := h.stored("DLQ")[0]
	for key, want := range map[string]string{
		"Stage": "tester", "Reason": "permanent", "Attempts": "1", "Stream": "IN", "Sequence": strconv.FormatUint(sequence, 10),
		"First-Seen": h.stored("IN")[0].Time.UTC().Format(time.RFC3339), "Error": "refused  for good", "Subject": "in.acme",
	} {
		if got := dead.Header.Get("Signrelay-Dlq-" + key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got, want := dead.Header.Get("Nats-Msg-Id"), fmt.Sprintf("dlq-tester-IN-%d", sequence); got != want {
		t.Errorf("the dead letter's id is %q, want %q", got, want)
	}
	read := maps.Clone(dead.Header)
	read["Nats-Stream"] = []string{"DLQ"} // as a direct get adds
	back, _ := readDeadLetter(read, dead.Data)
	if back.Subject != "in.acme" || string(back.Data) != "the \x00 bytes" || !reflect.DeepEqual(back.Header, headers) {
		t.Errorf("the original is read as %+v", back.Input)
	}
}

// The outputs of giving up continue our trace. The dead letter has only the input's headers.
func TestADeadLetterHasNoTraceOfOurs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("input", nil)
	a, err := newAttempt(h.receive("IN"))
	h.must(err)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	_, _ = decided(h.stage().Stage, decider{h.stage().Stage.Policy, newPostponed(), time.Now}, publisher{js: h.js})(func(_ context.Context, a *attempt) ([]Out, error) {
		a.givenUp = func(error) []Out { return []Out{out("out.failed", "failed", "it failed")} }
		return nil, outcome.Permanent(errPlain)
	})(ctx, a)
	if got := h.stored("OUT")[0].Header.Get("traceparent"); got == "" {
		t.Error("the outputs of giving up have no trace")
	}
	if got := h.stored("DLQ")[0].Header.Get("traceparent"); got != "" {
		t.Errorf("the dead letter has the trace %s, which its input does not have", got)
	}
}

func TestTheLastAttemptMakesADeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("do, attempt %d", in.Attempt)
		return nil, errPlain
	}
	r.GivenUp = func(in Event[string], reason error) []Out {
		return []Out{out("out.failed", "failed", in.Data+": "+reason.Error())}
	}
	h.run(r)
	h.publish("input", nil)
	h.expect("do, attempt 1", "-NAK after", "do, attempt 2", "-NAK after", "do, attempt 3",
		"dlq.v1.tester", "out.failed", "+TERM attempts-exhausted")
	if got := string(h.stored("OUT")[0].Data); got != "input: it failed" {
		t.Errorf("the output of giving up is %q", got)
	}
}

func TestAnInputWhoseDeadLetterIsNotStoredIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("DLQ", "dlq.v1.>", true)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Permanent(errPlain) }
	h.run(r)
	h.publish("input", nil)
	for range 4 {
		h.expect("dlq.v1.tester", "-NAK after")
	}
	h.refuse("DLQ", "dlq.v1.>", false)
	for h.next() != "+TERM permanent" {
	}
	if got := len(h.stored("DLQ")); got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
}

func TestTheOutputsOfGivingUpAreNotLost(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("OUT", "out.>", true)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Permanent(errPlain) }
	r.GivenUp = func(Event[string], error) []Out { return []Out{out("out.failed", "failed", "it failed")} }
	h.run(r)
	h.publish("input", nil)
	for range 4 {
		h.expect("dlq.v1.tester", "out.failed", "-NAK after")
	}
	h.refuse("OUT", "out.>", false)
	for h.next() != "+TERM permanent" {
	}
	if deadLetters, failed := len(h.stored("DLQ")), len(h.stored("OUT")); deadLetters != 1 || failed != 1 {
		t.Errorf("%d dead letters and %d outputs, want one each: their ids are stable", deadLetters, failed)
	}
}

func TestAnUndecodableInputIsADeadLetterAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.GivenUp = func(Event[string], error) []Out { t.Error("an undecodable input has outputs of giving up"); return nil }
	h.run(r)
	h.publish("garbage", nil)
	h.expect("dlq.v1.tester", "+TERM undecodable")
	if got := string(h.stored("DLQ")[0].Data); got != "garbage" {
		t.Errorf("the dead letter is %q", got)
	}
}

func TestADeadLetterHasTheStackOfAPanic(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { panic("out of order") }
	h.run(r)
	h.publish("input", nil)
	h.expect("-NAK after", "-NAK after", "dlq.v1.tester", "+TERM panic")
	dead := h.stored("DLQ")[0].Header
	if got := dead.Get("Signrelay-Dlq-Error"); got != "panic: out of order" {
		t.Errorf("error %q", got)
	}
	stack := dead.Get("Signrelay-Dlq-Stack")
	if !strings.Contains(stack, "TestADeadLetterHasTheStackOfAPanic") || len(stack) > 2<<10 {
		t.Errorf("%d bytes of stack, want at most 2 KiB that name the place:\n%s", len(stack), stack)
	}
}

func TestAPanicAfterGivingUpStillTerminates(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Permanent(errPlain) }
	r.GivenUp = func(Event[string], error) []Out { panic("again") }
	h.run(r)
	h.publish("input", nil)
	h.expect("dlq.v1.tester", "+TERM permanent")
}

// A message is terminated only after its dead letter is stored, even if the clock moves between the steps of a delivery. Here every second
// reading of the clock is two hours later, so that a second reading in one delivery would change the decision.
func TestATerminatedMessageHasADeadLetterAtAnyClockTick(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Stage.Policy = flow.Policy{MaxAttempts: 2, FirstDelay: 10 * time.Millisecond, MaxDelay: 10 * time.Millisecond}
	const inputs = 20
	var looks atomic.Int64
	r.now = func() time.Time { return time.Now().Add(time.Duration(2*(looks.Add(1)%2)-1) * -time.Hour) } // before the input came, and after
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, errPlain }
	for n := range inputs {
		h.publish(fmt.Sprintf("input %d", n), nil)
	}
	h.run(r)
	buried, deliveries := 0, int64(0)
	for terminated := 0; terminated < inputs; {
		switch line := h.next(); {
		case strings.HasPrefix(line, "dlq."):
			buried++
		case line == "-NAK after":
			deliveries++
		case strings.HasPrefix(line, "+TERM"):
			deliveries++
			if terminated++; buried < terminated { // there is one worker
				t.Fatalf("%d are terminated, and %d are in the DLQ", terminated, buried)
			}
		}
	}
	if looks := looks.Load(); looks != deliveries {
		t.Errorf("the clock was read %d times for %d deliveries", looks, deliveries)
	}
}
