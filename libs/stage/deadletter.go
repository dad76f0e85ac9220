package stage

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// DeadLetter is a dead letter: an input that a stage gave up, or that the server says it will deliver no more.
type DeadLetter struct {
	Number   uint64    // its place in DLQ, by which an operator names it
	Buried   time.Time // by the broker's clock
	Stage    string    // which gave it up
	Reason   string    // bounded, [a-z-]
	Error    string    // in full; empty if none was reported
	Stack    string    // of a panic
	Attempts int       // all together, those before a replay included
	Unknown  bool      // it is unknown whether its effect happened
	Fault    string    // whose fault it was that it was given up, bounded; empty where the stage does not say
	Gone     bool      // its stream holds it no longer: only its place is known
	Input

	replaySequence uint64    // where the stage got it from, when that was REPLAY
	mentions       *mentions // all messages in DLQ that are about it
}

// place is where a stage got an input from: what a letter and the server's advisory about it have in common.
type place struct {
	stage, stream string
	sequence      uint64
}

// placeOf is what a message in DLQ is about; the zero place is none.
func placeOf(m *jetstream.RawStreamMsg) place {
	l, ok := readDeadLetter(m.Header, nil)
	switch {
	case !ok:
		a := readAdvisory(m)
		return place{a.Stage, a.Stream, a.Sequence}
	case l.replaySequence > 0:
		return place{l.Stage, flow.Replay, l.replaySequence}
	default:
		return place{l.Stage, l.Stream, l.Sequence}
	}
}

// What a dead letter says beside the input's own bytes and headers. Headers of the input that the server would obey
// (Nats-Msg-Id, Nats-Expected-…) have the prefix kept, as have any that would be taken for the dead letter's own.
const (
	said = "Signrelay-Dlq-"
	kept = said + "Header-"
)

// The longest error and stack that go into a header. A stack's first 2 KiB show about ten frames.
const (
	longestError = 1 << 10
	longestStack = 2 << 10
)

// deadLetter is the input as it is buried. Its id comes from the place that it was delivered from, so burying it again is
// harmless.
func deadLetter(s flow.Stage, a *attempt, err error) *nats.Msg {
	l := DeadLetter{
		Stage: s.Name, Reason: a.decision.Reason, Attempts: a.earlier + a.number, Unknown: a.unknown || a.outcome.Unknown(),
		Fault: string(a.outcome.Fault()), Error: oneLine(err.Error(), longestError), Input: a.input,
	}
	if p := new(panicError); errors.As(err, &p) {
		l.Stack = oneLine(string(p.stack), longestStack)
	}
	if a.meta.Stream == flow.Replay {
		l.replaySequence = a.meta.Sequence.Stream
	}
	return l.message(s.DeadSubject(), fmt.Sprintf("dlq-%s-%s-%d", s.Name, a.meta.Stream, a.meta.Sequence.Stream))
}

// message is the letter as it is published, in the DLQ or back to its stage.
func (l DeadLetter) message(subject, msgID string) *nats.Msg {
	h := make(nats.Header)
	for key, values := range l.Header {
		if servers(key) || strings.HasPrefix(key, said) {
			key = kept + key
		}
		h[key] = values
	}
	say := func(key, value string) {
		if value != "" {
			h.Set(said+key, value)
		}
	}
	h.Set(jetstream.MsgIDHeader, msgID)
	say("Stage", l.Stage)
	say("Reason", l.Reason)
	say("Fault", l.Fault)
	say("Attempts", strconv.Itoa(l.Attempts))
	say("Id", l.ID)
	say("Stream", l.Stream)
	say("Sequence", strconv.FormatUint(l.Sequence, 10))
	say("Subject", l.Subject)
	say("First-Seen", l.FirstSeen.UTC().Format(time.RFC3339))
	say("Error", l.Error)
	say("Stack", l.Stack)
	if l.Unknown {
		say("Unknown", "true")
	}
	if l.Replays > 0 {
		say("Replays", strconv.Itoa(l.Replays))
	}
	if l.replaySequence > 0 {
		say("Replay-Sequence", strconv.FormatUint(l.replaySequence, 10))
	}
	return &nats.Msg{Subject: subject, Header: h, Data: l.Data}
}

// readDeadLetter reads what message wrote; false means that it is no letter.
func readDeadLetter(h nats.Header, data []byte) (DeadLetter, bool) {
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(h.Get(said+key), 10, 63)
		return n
	}
	l := DeadLetter{
		Stage: h.Get(said + "Stage"), Reason: h.Get(said + "Reason"), Error: h.Get(said + "Error"), Stack: h.Get(said + "Stack"),
		Fault: h.Get(said + "Fault"), Attempts: int(number("Attempts")), Unknown: h.Get(said+"Unknown") == "true", replaySequence: number("Replay-Sequence"),
		Input: Input{
			ID: h.Get(said + "Id"), Subject: h.Get(said + "Subject"), Header: original(h), Data: data,
			Stream: h.Get(said + "Stream"), Sequence: number("Sequence"), Replays: int(number("Replays")),
		},
	}
	l.FirstSeen, _ = time.Parse(time.RFC3339, h.Get(said+"First-Seen"))
	return l, l.Stage != "" && l.ID != "" && l.Subject != "" && l.Stream != "" && l.Sequence > 0
}

// original is the header of the input that a dead letter holds, exactly as it was published.
func original(letter nats.Header) nats.Header {
	h := maps.Clone(letter)
	maps.DeleteFunc(h, func(key string, _ []string) bool { return servers(key) || strings.HasPrefix(key, said) })
	for key, values := range letter {
		if own, ok := strings.CutPrefix(key, kept); ok {
			h[own] = values
		}
	}
	return h
}

func servers(key string) bool { return strings.HasPrefix(key, "Nats-") }

// oneLine makes a header's value of a text: at most limit bytes, each printable or a space.
func oneLine(text string, limit int) string {
	text = text[:min(len(text), limit)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
