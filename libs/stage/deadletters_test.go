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

// listen to what the server says in DLQ too, as provision has it.
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

// all returns the letters once DLQ holds so many messages.
func (h *harness) all(l DeadLetters, messages uint64) []DeadLetter {
	h.Helper()
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == messages })
	var all []DeadLetter
	for letter, err := range l.All(context.Background()) {
		h.must(err)
		all = append(all, letter)
	}
	return all
}

// only returns the one letter there is.
func (h *harness) only(l DeadLetters, messages uint64) DeadLetter {
	h.Helper()
	all := h.all(l, messages)
	if len(all) != 1 {
		h.Fatalf("%d letters, want one: %+v", len(all), all)
	}
	return all[0]
}

// holds is how many messages a stream holds.
func (h *harness) holds(stream string) uint64 {
	h.Helper()
	s, err := h.outside.Stream(context.Background(), stream)
	h.must(err)
	return s.CachedInfo().State.Msgs
}

func (h *harness) until(what string, holds func() bool) {
	h.Helper()
	for deadline := time.Now().Add(longest); !holds(); {
		if time.Now().After(deadline) {
			h.Fatalf("it did not come about that %s", what)
		}
		select {
		case <-h.Context().Done():
			h.Fatal("ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hand takes one message for the stage, in the place of a runner.
func (h *harness) hand(stream string) jetstream.Msg {
	h.Helper()
	c, err := h.outside.Consumer(context.Background(), stream, "tester")
	h.must(err)
	msg, err := c.Next(jetstream.FetchMaxWait(longest))
	h.must(err)
	return msg
}

func told(id string) *nats.Msg { return out("signing.v1.a.b.replay.requested._", id, "told") }

func refusing(h *harness) Runner[string] {
	r := h.stage()
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("do %s, %s, replays %d, unknown %v", in.ID, in.Data, in.Replays, in.Unknown)
		return nil, outcome.Permanent(errPlain)
	}
	return r
}

func TestALetterAndTheServersWordOfItAreOne(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	h.run(refusing(h))
	first := h.publish("one", letter("a"))
	second := h.publish("two", nil)
	all := h.all(letters, 4) // each with its advisory
	if len(all) != 2 {
		t.Fatalf("%d letters of 4 messages, want 2", len(all))
	}
	for i, want := range []struct {
		data     string
		sequence uint64
	}{{"one", first}, {"two", second}} {
		got := all[i]
		if string(got.Data) != want.data || got.Sequence != want.sequence || got.Stream != "IN" || got.Subject != "in.acme" ||
			got.Stage != "tester" || got.Reason != "permanent" || got.Error != "it failed" || got.Attempts != 1 || got.Replays != 0 ||
			got.Unknown || got.Gone || got.FirstSeen.IsZero() || got.Buried.IsZero() || got.Number == 0 {
			t.Errorf("letter %d: %+v", i, got)
		}
	}
	h.must(letters.Drop(t.Context(), all[0]))
	if left := h.only(letters, 2); string(left.Data) != "two" {
		t.Errorf("after the first was dropped, %q is there", left.Data)
	}
	h.must(letters.Drop(t.Context(), all[0])) // again: it is gone already
}

// delivered counts the messages of DLQ that the broker gives to whoever asks for them.
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

// A listing reads each message of DLQ once, and a letter by its number is one message.
func TestDLQIsReadOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	stop := h.run(refusing(h))
	h.publish("one", letter("a"))
	h.publish("two", letter("b"))
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == 4 })
	stop()
	h.publish("three", letter("c"))
	h.must(h.hand("IN").TermWithReason("by hand"))
	h.until("DLQ has all", func() bool { return h.holds("DLQ") == 5 })

	delivered := h.delivered()
	all := h.all(letters, 5)
	if len(all) != 3 || string(all[0].Data) != "one" || string(all[1].Data) != "two" || string(all[2].Data) != "three" {
		t.Errorf("the letters: %+v", all)
	}
	if n := delivered(); n != 5 {
		t.Errorf("a pass over 5 messages took %d", n)
	}
	for _, listed := range all {
		one, err := letters.One(t.Context(), listed.Number)
		h.must(err)
		if n := delivered(); n != 1 {
			t.Errorf("one letter took %d messages of DLQ", n)
		}
		if listed.mentions = nil; !reflect.DeepEqual(one, listed) {
			t.Errorf("number %d is\n%+v, and was listed as\n%+v", listed.Number, one, listed)
		}
	}
	if _, err := letters.One(t.Context(), 999); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("a number that is not there: %v", err)
	}

	// A letter that is read again after the pass takes its advisory with it.
	for _, listed := range all {
		again, err := letters.Again(t.Context(), DeadLetter{Number: listed.Number, mentions: listed.mentions})
		h.must(err)
		h.must(letters.Drop(t.Context(), again))
		if _, err := letters.Again(t.Context(), listed); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("what was dropped is read again: %v", err)
		}
	}
	if n := h.holds("DLQ"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestWhatSomebodyElseTerminatedIsALetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	header := nats.Header{"Nats-Msg-Id": {"a"}, "Nats-Expected-Stream": {"IN"}, "lower-case": {"one", "two"}}
	sequence := h.publish("the \x00 bytes", header)
	h.must(h.hand("IN").TermWithReason("by hand"))
	got := h.only(letters, 1)
	if got.Stage != "tester" || got.Reason != "terminated" || got.Error != "by hand" || got.Attempts != 1 || got.Stream != "IN" ||
		got.Sequence != sequence || got.ID != "a" || got.Subject != "in.acme" || string(got.Data) != "the \x00 bytes" || got.FirstSeen.IsZero() {
		t.Errorf("%+v", got)
	}
	if !reflect.DeepEqual(got.Header, header) {
		t.Errorf("its headers come back as %v", got.Header)
	}
	h.run(h.stage())
	h.must(letters.Replay(t.Context(), got, told("r")))
	h.wants("+TERM by hand", "do", "+ACK?")
}

func TestWhatTheServerDeliversNoMoreIsALetter(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	limited := h.fit("tester")
	limited.MaxDeliver, limited.AckWait = 1, 100*time.Millisecond
	_, err := h.outside.UpdateConsumer(t.Context(), "IN", limited)
	h.must(err)
	sequence := h.publish("letter", letter("a"))
	h.hand("IN") // and never answered
	c, err := h.outside.Consumer(t.Context(), "IN", "tester")
	h.must(err)
	h.until("the server gives it up", func() bool {
		_, err := c.Next(jetstream.FetchMaxWait(200 * time.Millisecond))
		return errors.Is(err, nats.ErrTimeout) && h.holds("DLQ") > 0
	})
	got := h.only(letters, 1)
	if got.Reason != "max-deliveries" || got.Stage != "tester" || got.Attempts != 1 || got.Sequence != sequence || string(got.Data) != "letter" || !got.Unknown {
		t.Errorf("%+v", got)
	}
}

func TestALetterWhoseMessageIsGone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	sequence := h.publish("letter", letter("a"))
	h.must(h.hand("IN").TermWithReason("by hand"))
	h.until("the server says so", func() bool { return h.holds("DLQ") == 1 })
	in, err := h.outside.Stream(t.Context(), "IN")
	h.must(err)
	h.must(in.DeleteMsg(t.Context(), sequence))
	got := h.only(letters, 1)
	if !got.Gone || got.Stage != "tester" || got.Sequence != sequence {
		t.Errorf("%+v", got)
	}
	if err := letters.Replay(t.Context(), got, told("r")); err == nil {
		t.Error("what is gone is replayed")
	}
	if h.holds("REPLAY") != 0 || h.holds("SIGNING") != 0 || h.holds("DLQ") != 1 {
		t.Error("and something came of it")
	}
	h.must(letters.Drop(t.Context(), got))
	if h.holds("DLQ") != 0 {
		t.Error("it cannot be dropped")
	}
}

func TestAReplayReachesItsStageAlone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	r := refusing(h)
	refuse := r.Do
	r.Do = func(ctx context.Context, in Event[string]) ([]Out, error) {
		if _, err := refuse(ctx, in); in.Replays == 0 {
			return nil, err
		}
		return nil, nil
	}
	h.run(r)
	h.publish("letter", letter("a"))
	h.wants("do a, letter, replays 0, unknown false", "dlq.v1.tester", "+TERM permanent")
	h.must(letters.Replay(t.Context(), h.only(letters, 2), told("r")))
	h.wants("do a, letter, replays 1, unknown false", "+ACK?")
	if in, dlq, log := h.holds("IN"), h.holds("DLQ"), h.holds("SIGNING"); in != 1 || dlq != 0 || log != 1 {
		t.Errorf("IN has %d messages, DLQ %d, the log %d; want 1, 0, 1", in, dlq, log)
	}
}

// Given up again, it is the same letter of another life; and another replay is no duplicate of the first.
func TestWhatIsReplayedAndGivenUpAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	h.run(refusing(h))
	sequence := h.publish("letter", letter("a"))
	for n := range 3 {
		h.wants(fmt.Sprintf("do a, letter, replays %d, unknown false", n), "dlq.v1.tester", "+TERM permanent")
		got := h.only(letters, 2)
		if got.Replays != n || got.Attempts != n+1 || got.Stream != "IN" || got.Sequence != sequence || got.Subject != "in.acme" || got.ID != "a" ||
			string(got.Data) != "letter" || !reflect.DeepEqual(got.Header, letter("a")) {
			t.Fatalf("letter after %d replays: %+v", n, got)
		}
		h.must(letters.Replay(t.Context(), got, told(fmt.Sprint("r", n))))
	}
	h.wants("do a, letter, replays 3, unknown false", "dlq.v1.tester", "+TERM permanent")
	if told := h.holds("SIGNING"); told != 3 {
		t.Errorf("the log heard of %d replays, want 3", told)
	}
}

// A replay is cut off before it has told the log, or before the letter is out of DLQ. The next one finishes it, however
// late: the stage gets it once, and the log hears of it once.
func TestAReplayThatWasCutOffIsFinished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	letters := h.advised()
	for _, stream := range []string{"REPLAY", "SIGNING"} { // nobody remembers an id for long
		_, err := h.outside.UpdateStream(t.Context(), jetstream.StreamConfig{
			Name: stream, Subjects: []string{map[string]string{"REPLAY": "replay.v1.>", "SIGNING": "signing.v1.>"}[stream]},
			AllowDirect: true, Duplicates: 100 * time.Millisecond,
		})
		h.must(err)
	}
	r := refusing(h)
	stop := h.run(r)
	h.publish("letter", letter("a"))
	h.wants("do a, letter, replays 0, unknown false", "dlq.v1.tester", "+TERM permanent")
	buried := h.only(letters, 2)
	stop()

	h.refuse("SIGNING", "signing.v1.>", true)
	if err := letters.Replay(t.Context(), buried, told("r")); err == nil || !strings.Contains(err.Error(), "is replayed, but still in the DLQ") {
		t.Fatalf("without a log: %v", err)
	}
	_, err := h.outside.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "SIGNING", Subjects: []string{"signing.v1.>"}, MaxMsgSize: -1, AllowDirect: true, Duplicates: 100 * time.Millisecond,
	})
	h.must(err)
	for range 2 { // the second as if the first had been cut off before it dropped the letter
		h.forgets("REPLAY", "replay.v1.probe")
		h.forgets("SIGNING", "signing.v1.probe")
		h.must(letters.Replay(t.Context(), buried, told("r")))
	}
	replayed := 0
	for _, m := range h.stored("REPLAY") {
		if m.Subject != "replay.v1.probe" {
			replayed++
		}
	}
	heard := 0
	for _, m := range h.stored("SIGNING") {
		if m.Subject != "signing.v1.probe" {
			heard++
		}
	}
	if replayed != 1 || heard != 1 || h.holds("DLQ") != 0 {
		t.Errorf("replayed %d times, the log heard %d times, %d messages in DLQ; want 1, 1, 0", replayed, heard, h.holds("DLQ"))
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
	letters := h.advised()
	m := h.memory()
	r := h.effect(m)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.say("send, unknown %v", in.Unknown)
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

	// What was given up because it was refused is really done: its claim was given back.
	h.publish("refused", letter("a"))
	h.wants("claim: ours", "send, unknown false", "give back: undone", "dlq.v1.tester", "+TERM permanent")
	refused := h.only(letters, 2)
	h.must(letters.Replay(t.Context(), refused, told("r1")))
	h.wants("claim: ours", "send, unknown false", "confirm", "out.sent", "+ACK?")

	// What may have happened is done with that in mind, even when the memory has forgotten it by then.
	h.publish("unknown", letter("b"))
	h.wants("claim: ours", "send, unknown false", "give back: unknown", "dlq.v1.tester", "+TERM permanent")
	unknown := h.only(letters, 2)
	if !unknown.Unknown || refused.Unknown {
		t.Errorf("unknown: %v and %v, want true, and false for what was refused", unknown.Unknown, refused.Unknown)
	}
	m.put("b", entry{})
	h.must(letters.Replay(t.Context(), unknown, told("r2")))
	h.wants("claim: ours", "send, unknown true", "confirm", "out.sent", "+ACK?")

	// What was done is not done again, but what followed from it is told again.
	unknown.Replays++ // as a letter from after the last replay
	h.must(letters.Replay(t.Context(), unknown, told("r3")))
	h.wants("claim: done before", "out.sent", "+ACK?")
}
