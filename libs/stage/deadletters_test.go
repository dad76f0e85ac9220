package stage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/outcome"
)

// advised adds the server's advisories to DLQ, as provision does.
func (h *harness) advised() DeadLetters {
	h.Helper()
	subjects := []string{"dlq.v1.>"}
	for _, stream := range []string{"IN", "REPLAY"} {
		for _, kind := range []string{"MAX_DELIVERIES", "MSG_TERMINATED"} {
			subjects = append(subjects, "$JS.EVENT.ADVISORY.CONSUMER."+kind+"."+stream+".tester")
		}
	}
	_, err := h.outside.UpdateStream(context.Background(), jetstream.StreamConfig{Name: "DLQ", Subjects: subjects, AllowDirect: true})
	h.must(err)
	return DeadLetters{JS: h.outside}
}

// all returns the dead letters once DLQ holds this number of messages.
func (h *harness) all(l DeadLetters, messages uint64) []DeadLetter {
	h.Helper()
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == messages })
	var all []DeadLetter
	for dead, err := range l.All(context.Background()) {
		h.must(err)
		all = append(all, dead)
	}
	return all
}

// only returns the only dead letter.
func (h *harness) only(l DeadLetters, messages uint64) DeadLetter {
	h.Helper()
	all := h.all(l, messages)
	if len(all) != 1 {
		h.Fatalf("%d dead letters, want one: %+v", len(all), all)
	}
	return all[0]
}

// holds returns the number of messages in a stream.
func (h *harness) holds(stream string) uint64 {
	h.Helper()
	s, err := h.outside.Stream(context.Background(), stream)
	h.must(err)
	return s.CachedInfo().State.Msgs
}

func (h *harness) until(description string, holds func() bool) {
	h.Helper()
	for deadline := time.Now().Add(longest); !holds(); {
		if time.Now().After(deadline) {
			h.Fatalf("timeout: waited until %s", description)
		}
		select {
		case <-h.Context().Done():
			h.Fatal("ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// receive takes one message for the stage, in place of a runner.
func (h *harness) receive(stream string) jetstream.Msg {
	h.Helper()
	c, err := h.outside.Consumer(context.Background(), stream, "tester")
	h.must(err)
	msg, err := c.Next(jetstream.FetchMaxWait(longest))
	h.must(err)
	return msg
}

func replayEvent(id string) *nats.Msg {
	return out("signing.v1.a.b.replay.requested._", id, "replayed")
}

func refusing(h *harness) Runner[string] {
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("do %s, %s, replays %d, unknown %v", in.ID, in.Data, in.Replays, in.Unknown)
		return nil, outcome.Permanent(errPlain)
	}
	return r
}

func TestADeadLetterAndItsAdvisoryAreOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	h.run(refusing(h))
	first := h.publish("one", withID("a"))
	second := h.publish("two", nil)
	all := h.all(deadLetters, 4) // each with its advisory
	if len(all) != 2 {
		t.Fatalf("%d dead letters of 4 messages, want 2", len(all))
	}
	for i, want := range []struct {
		data     string
		sequence uint64
	}{{"one", first}, {"two", second}} {
		got := all[i]
		if string(got.Data) != want.data || got.Sequence != want.sequence || got.Stream != "IN" || got.Subject != "in.acme" ||
			got.Stage != "tester" || got.Reason != "permanent" || got.Error != "it failed" || got.Attempts != 1 || got.Replays != 0 ||
			got.Unknown || got.Gone || got.FirstSeen.IsZero() || got.Buried.IsZero() || got.Number == 0 {
			t.Errorf("dead letter %d: %+v", i, got)
		}
	}
	h.must(deadLetters.Drop(t.Context(), all[0]))
	if left := h.only(deadLetters, 2); string(left.Data) != "two" {
		t.Errorf("after the first was dropped, %q remains", left.Data)
	}
	h.must(deadLetters.Drop(t.Context(), all[0])) // again: it was already dropped
}

// delivered counts the messages of DLQ that the broker delivers to any reader.
func (h *harness) delivered() func() int {
	h.Helper()
	nc, _ := h.connect()
	inbox, err := nc.SubscribeSync("_INBOX.>")
	h.must(err)
	h.must(nc.Flush())
	return func() (n int) {
		h.Helper()
		h.must(nc.Flush())
		for {
			m, err := inbox.NextMsg(100 * time.Millisecond)
			if errors.Is(err, nats.ErrTimeout) {
				return n
			}
			h.must(err)
			if m.Header.Get("Nats-Stream") == "DLQ" {
				n++
			}
		}
	}
}

// A listing reads each message of DLQ once. One dead letter, by its number, is one message.
func TestDLQIsReadOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	stop := h.run(refusing(h))
	h.publish("one", withID("a"))
	h.publish("two", withID("b"))
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == 4 })
	stop()
	h.publish("three", withID("c"))
	h.must(h.receive("IN").TermWithReason("by hand"))
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == 5 })

	delivered := h.delivered()
	all := h.all(deadLetters, 5)
	if len(all) != 3 || string(all[0].Data) != "one" || string(all[1].Data) != "two" || string(all[2].Data) != "three" {
		t.Errorf("the dead letters: %+v", all)
	}
	if n := delivered(); n != 5 {
		t.Errorf("a pass over 5 messages took %d", n)
	}
	for _, listed := range all {
		one, err := deadLetters.One(t.Context(), listed.Number)
		h.must(err)
		if n := delivered(); n != 1 {
			t.Errorf("one dead letter took %d messages of DLQ", n)
		}
		if listed.mentions = nil; !reflect.DeepEqual(one, listed) {
			t.Errorf("number %d is\n%+v, and was listed as\n%+v", listed.Number, one, listed)
		}
	}
	if _, err := deadLetters.One(t.Context(), 999); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("a missing number: %v", err)
	}

	// Dropping a dead letter that was read again after the pass also drops its advisory.
	for _, listed := range all {
		again, err := deadLetters.Again(t.Context(), DeadLetter{Number: listed.Number, mentions: listed.mentions})
		h.must(err)
		h.must(deadLetters.Drop(t.Context(), again))
		if _, err := deadLetters.Again(t.Context(), listed); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("a dropped dead letter is read again: %v", err)
		}
	}
	if n := h.holds("DLQ"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestAMessageThatAnotherPartyTerminatedIsADeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	header := nats.Header{"Nats-Msg-Id": {"a"}, "Nats-Expected-Stream": {"IN"}, "lower-case": {"one", "two"}}
	sequence := h.publish("the \x00 bytes", header)
	h.must(h.receive("IN").TermWithReason("by hand"))
	got := h.only(deadLetters, 1)
	if got.Stage != "tester" || got.Reason != "terminated" || got.Error != "by hand" || got.Attempts != 1 || got.Stream != "IN" ||
		got.Sequence != sequence || got.ID != "a" || got.Subject != "in.acme" || string(got.Data) != "the \x00 bytes" || got.FirstSeen.IsZero() {
		t.Errorf("%+v", got)
	}
	if !reflect.DeepEqual(got.Header, header) {
		t.Errorf("its headers are read as %v", got.Header)
	}
	h.run(h.stage())
	h.must(deadLetters.Replay(t.Context(), got, replayEvent("r")))
	h.expect("+TERM by hand", "do", "+ACK")
}

func TestAMessageBeyondTheDeliveryLimitIsADeadLetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	limited := h.fit("tester")
	limited.MaxDeliver, limited.AckWait = 1, 100*time.Millisecond
	_, err := h.outside.UpdateConsumer(t.Context(), "IN", limited)
	h.must(err)
	sequence := h.publish("input", withID("a"))
	h.receive("IN") // and never settled
	c, err := h.outside.Consumer(t.Context(), "IN", "tester")
	h.must(err)
	h.until("the server stops the deliveries", func() bool {
		_, err := c.Next(jetstream.FetchMaxWait(200 * time.Millisecond))
		return errors.Is(err, nats.ErrTimeout) && h.holds("DLQ") > 0
	})
	got := h.only(deadLetters, 1)
	if got.Reason != "max-deliveries" || got.Stage != "tester" || got.Attempts != 1 || got.Sequence != sequence || string(got.Data) != "input" || !got.Unknown {
		t.Errorf("%+v", got)
	}
}

func TestADeadLetterWhoseMessageIsGone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	sequence := h.publish("input", withID("a"))
	h.must(h.receive("IN").TermWithReason("by hand"))
	h.until("the server reports it", func() bool { return h.holds("DLQ") == 1 })
	in, err := h.outside.Stream(t.Context(), "IN")
	h.must(err)
	h.must(in.DeleteMsg(t.Context(), sequence))
	got := h.only(deadLetters, 1)
	if !got.Gone || got.Stage != "tester" || got.Sequence != sequence {
		t.Errorf("%+v", got)
	}
	if err := deadLetters.Replay(t.Context(), got, replayEvent("r")); err == nil {
		t.Error("a dead letter whose message is gone was replayed")
	}
	if h.holds("REPLAY") != 0 || h.holds("SIGNING") != 0 || h.holds("DLQ") != 1 {
		t.Error("the refused replay changed a stream")
	}
	h.must(deadLetters.Drop(t.Context(), got))
	if h.holds("DLQ") != 0 {
		t.Error("Drop left the dead letter in DLQ")
	}
}

func TestAReplayReachesOnlyItsStage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	r := refusing(h)
	refuse := r.Do
	r.Do = func(ctx context.Context, in Event[string]) ([]Out, error) {
		if _, err := refuse(ctx, in); in.Replays == 0 {
			return nil, err
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("do a, input, replays 0, unknown false", "dlq.v1.tester", "+TERM permanent")
	h.must(deadLetters.Replay(t.Context(), h.only(deadLetters, 2), replayEvent("r")))
	h.expect("do a, input, replays 1, unknown false", "+ACK")
	if in, dlq, log := h.holds("IN"), h.holds("DLQ"), h.holds("SIGNING"); in != 1 || dlq != 0 || log != 1 {
		t.Errorf("IN has %d messages, DLQ %d, the log %d; want 1, 0, 1", in, dlq, log)
	}
}

// If a replayed input is given up again, its dead letter is the same with one more replay, and another replay is no duplicate of the first.
func TestAReplayedInputIsGivenUpAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	h.run(refusing(h))
	sequence := h.publish("input", withID("a"))
	for n := range 3 {
		h.expect(fmt.Sprintf("do a, input, replays %d, unknown false", n), "dlq.v1.tester", "+TERM permanent")
		got := h.only(deadLetters, 2)
		if got.Replays != n || got.Attempts != n+1 || got.Stream != "IN" || got.Sequence != sequence || got.Subject != "in.acme" || got.ID != "a" ||
			string(got.Data) != "input" || !reflect.DeepEqual(got.Header, withID("a")) {
			t.Fatalf("dead letter after %d replays: %+v", n, got)
		}
		h.must(deadLetters.Replay(t.Context(), got, replayEvent(fmt.Sprint("r", n))))
	}
	h.expect("do a, input, replays 3, unknown false", "dlq.v1.tester", "+TERM permanent")
	if recorded := h.holds("SIGNING"); recorded != 3 {
		t.Errorf("the log has %d replays, want 3", recorded)
	}
}

// A replay is interrupted before the log has its event, or before the dead letter is removed from DLQ. The next replay completes it, however
// late: the stage gets the input once, and the log gets one event.
func TestTheNextReplayCompletesAnInterruptedOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	for _, stream := range []string{"REPLAY", "SIGNING"} { // so that the streams forget ids soon
		_, err := h.outside.UpdateStream(t.Context(), jetstream.StreamConfig{
			Name: stream, Subjects: []string{map[string]string{"REPLAY": "replay.v1.>", "SIGNING": "signing.v1.>"}[stream]},
			AllowDirect: true, Duplicates: 100 * time.Millisecond,
		})
		h.must(err)
	}
	r := refusing(h)
	stop := h.run(r)
	h.publish("input", withID("a"))
	h.expect("do a, input, replays 0, unknown false", "dlq.v1.tester", "+TERM permanent")
	buried := h.only(deadLetters, 2)
	stop()

	h.refuse("SIGNING", "signing.v1.>", true)
	if err := deadLetters.Replay(t.Context(), buried, replayEvent("r")); err == nil || !strings.Contains(err.Error(), "is replayed, but still in the DLQ") {
		t.Fatalf("without a log: %v", err)
	}
	_, err := h.outside.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "SIGNING", Subjects: []string{"signing.v1.>"}, MaxMsgSize: -1, AllowDirect: true, Duplicates: 100 * time.Millisecond,
	})
	h.must(err)
	for range 2 { // the second replays as if the first had been interrupted before it dropped the dead letter
		h.forgets("REPLAY", "replay.v1.probe")
		h.forgets("SIGNING", "signing.v1.probe")
		h.must(deadLetters.Replay(t.Context(), buried, replayEvent("r")))
	}
	replayed := 0
	for _, m := range h.stored("REPLAY") {
		if m.Subject != "replay.v1.probe" {
			replayed++
		}
	}
	events := 0
	for _, m := range h.stored("SIGNING") {
		if m.Subject != "signing.v1.probe" {
			events++
		}
	}
	if replayed != 1 || events != 1 || h.holds("DLQ") != 0 {
		t.Errorf("replayed %d times, %d events in the log, %d messages in DLQ; want 1, 1, 0", replayed, events, h.holds("DLQ"))
	}
}

// forgets waits until a stream has forgotten the ids it has seen so far.
func (h *harness) forgets(stream, subject string) {
	h.Helper()
	id := fmt.Sprint("probe-", time.Now().UnixNano())
	probe := func() *jetstream.PubAck {
		ack, err := h.outside.PublishMsg(context.Background(), out(subject, id, "probe"))
		h.must(err)
		return ack
	}
	if probe().Stream != stream {
		h.Fatalf("%s is not in %s", subject, stream)
	}
	h.until(stream+" forgets", func() bool { return !probe().Duplicate })
}

func TestAReplayedEffect(t *testing.T) {
	t.Parallel()
	h := setup(t)
	deadLetters := h.advised()
	m := h.memory()
	r := h.effect(m)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("send, unknown %v", in.Unknown)
		switch {
		case in.Replays > 0:
			return []Out{out("out.sent", "sent", "")}, nil
		case in.Data == "unknown":
			return nil, outcome.Permanent(outcome.Unknown(errPlain))
		default:
			return nil, outcome.Permanent(errPlain)
		}
	}
	h.run(r)

	// The stage works on a replayed refusal as on a new input: its claim was released as undone.
	h.publish("refused", withID("a"))
	h.expect("claim: claimed", "send, unknown false", "release: undone", "dlq.v1.tester", "+TERM permanent")
	refused := h.only(deadLetters, 2)
	h.must(deadLetters.Replay(t.Context(), refused, replayEvent("r1")))
	h.expect("claim: claimed", "send, unknown false", "confirm", "out.sent", "+ACK")

	// The replay of an unknown outcome is marked as unknown, even if the dedupe store has forgotten the id by then.
	h.publish("unknown", withID("b"))
	h.expect("claim: claimed", "send, unknown false", "release: unknown", "dlq.v1.tester", "+TERM permanent")
	unknown := h.only(deadLetters, 2)
	if !unknown.Unknown || refused.Unknown {
		t.Errorf("unknown: %v and %v, want true, and false for the refused one", unknown.Unknown, refused.Unknown)
	}
	m.put("b", entry{})
	h.must(deadLetters.Replay(t.Context(), unknown, replayEvent("r2")))
	h.expect("claim: claimed", "send, unknown true", "confirm", "out.sent", "+ACK")

	// Confirmed work is not done again, but its outputs are published again.
	unknown.Replays++ // as a dead letter from after the last replay
	h.must(deadLetters.Replay(t.Context(), unknown, replayEvent("r3")))
	h.expect("claim: confirmed", "out.sent", "+ACK")
}
