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
	h.wants("dlq.v1.tester", "+TERM permanent")

	letter := h.stored("DLQ")[0]
	for key, want := range map[string]string{
		"Stage": "tester", "Reason": "permanent", "Attempts": "1", "Stream": "IN", "Sequence": strconv.FormatUint(sequence, 10),
		"First-Seen": h.stored("IN")[0].Time.UTC().Format(time.RFC3339), "Error": "refused  for good", "Subject": "in.acme",
	} {
		if got := letter.Header.Get("Signrelay-Dlq-" + key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got, want := letter.Header.Get("Nats-Msg-Id"), fmt.Sprintf("dlq-tester-IN-%d", sequence); got != want {
		t.Errorf("the letter's id is %q, want %q", got, want)
	}
	read := maps.Clone(letter.Header)
	read["Nats-Stream"] = []string{"DLQ"} // as a direct get adds
	back, _ := readDeadLetter(read, letter.Data)
	if back.Subject != "in.acme" || string(back.Data) != "the \x00 bytes" || !reflect.DeepEqual(back.Header, headers) {
		t.Errorf("the original comes back as %+v", back.Input)
	}
}

// What follows from giving up continues our trace; the letter holds the input's headers and no other.
func TestALetterGetsNoTraceOfOurs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.publish("letter", nil)
	a, err := newAttempt(h.hand("IN"))
	h.must(err)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	_, _ = decided(h.stage().Stage, decider{h.stage().Stage.Policy, newPostponed(), time.Now}, publisher{js: h.js})(func(_ context.Context, a *attempt) ([]Out, error) {
		a.givenUp = func(error) []Out { return []Out{out("out.failed", "failed", "it failed")} }
		return nil, outcome.Permanent(errPlain)
	})(ctx, a)
	if got := h.stored("OUT")[0].Header.Get("traceparent"); got == "" {
		t.Error("what follows has no trace")
	}
	if got := h.stored("DLQ")[0].Header.Get("traceparent"); got != "" {
		t.Errorf("the letter has the trace %s, which its input had not", got)
	}
}

func TestBuriedAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("do, attempt %d", in.Attempt)
		return nil, errPlain
	}
	r.GivenUp = func(in Event[string], reason error) []Out {
		return []Out{out("out.failed", "failed", in.Data+": "+reason.Error())}
	}
	h.run(r)
	h.publish("letter", nil)
	h.wants("do, attempt 1", "-NAK after", "do, attempt 2", "-NAK after", "do, attempt 3",
		"dlq.v1.tester", "out.failed", "+TERM attempts-exhausted")
	if got := string(h.stored("OUT")[0].Data); got != "letter: it failed" {
		t.Errorf("what follows from giving up says %q", got)
	}
}

func TestWhatCannotBeBuriedIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("DLQ", "dlq.v1.>", true)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Permanent(errPlain) }
	h.run(r)
	h.publish("letter", nil)
	for range 4 {
		h.wants("dlq.v1.tester", "-NAK after")
	}
	h.refuse("DLQ", "dlq.v1.>", false)
	for h.hear() != "+TERM permanent" {
	}
	if got := len(h.stored("DLQ")); got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
}

func TestWhatFollowsFromGivingUpIsNotLost(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("OUT", "out.>", true)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Permanent(errPlain) }
	r.GivenUp = func(Event[string], error) []Out { return []Out{out("out.failed", "failed", "it failed")} }
	h.run(r)
	h.publish("letter", nil)
	for range 4 {
		h.wants("dlq.v1.tester", "out.failed", "-NAK after")
	}
	h.refuse("OUT", "out.>", false)
	for h.hear() != "+TERM permanent" {
	}
	if letters, failed := len(h.stored("DLQ")), len(h.stored("OUT")); letters != 1 || failed != 1 {
		t.Errorf("%d dead letters and %d outputs, want one each: their ids are stable", letters, failed)
	}
}

func TestUndecodableIsBuriedAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.GivenUp = func(Event[string], error) []Out { t.Error("nothing follows from what nobody read"); return nil }
	h.run(r)
	h.publish("garbage", nil)
	h.wants("dlq.v1.tester", "+TERM undecodable")
	if got := string(h.stored("DLQ")[0].Data); got != "garbage" {
		t.Errorf("buried %q", got)
	}
}

func TestAPanicIsBuriedWithItsStackAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) { panic("out of order") }
	h.run(r)
	h.publish("letter", nil)
	h.wants("-NAK after", "-NAK after", "dlq.v1.tester", "+TERM panic")
	letter := h.stored("DLQ")[0].Header
	if got := letter.Get("Signrelay-Dlq-Error"); got != "panic: out of order" {
		t.Errorf("error %q", got)
	}
	stack := letter.Get("Signrelay-Dlq-Stack")
	if !strings.Contains(stack, "TestAPanicIsBuried") || len(stack) > 2<<10 {
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
	h.publish("letter", nil)
	h.wants("dlq.v1.tester", "+TERM permanent")
}

// However the clock moves between the steps of a delivery, a message is terminated only after its dead letter is stored. Here every
// second look at the clock finds it two hours later, so that a second look in one delivery would decide otherwise.
func TestATerminatedMessageHasADeadLetterWhateverTheClockSays(t *testing.T) {
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
		switch word := h.hear(); {
		case strings.HasPrefix(word, "dlq."):
			buried++
		case word == "-NAK after":
			deliveries++
		case strings.HasPrefix(word, "+TERM"):
			deliveries++
			if terminated++; buried < terminated { // there is one worker
				t.Fatalf("%d are terminated, and %d are in the DLQ", terminated, buried)
			}
		}
	}
	if looks := looks.Load(); looks != deliveries {
		t.Errorf("the clock was asked %d times for %d deliveries", looks, deliveries)
	}
}
