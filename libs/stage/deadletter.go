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

// DeadLetter is an input on which a stage gave up, or which the server will not deliver again.
type DeadLetter struct {
	Number   uint64    // its place in DLQ, by which an operator names it
	Buried   time.Time // by the broker's clock
	Stage    string    // that gave up
	Reason   string    // bounded, [a-z-]
	Error    string    // in full; empty if none was reported
	Stack    string    // of a panic
	Attempts int       // in total, with those before a replay
	Unknown  bool      // it is unknown whether its effect happened
	Fault    string    // the party whose fault it is, bounded; empty if the stage does not report one
	Gone     bool      // its stream no longer holds it: only its place is known
	Input

	replaySequence uint64    // the sequence in REPLAY, if the stage got it from there
	mentions       *mentions // all messages in DLQ that are about it
}

// place is the stage's source of an input. A dead letter and the server's advisory about it have the same place.
type place struct {
	stage, stream string
	sequence      uint64
}

// placeOf returns the place of the input to which a message in DLQ belongs, or the zero place if there is none.
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

// A dead letter's own headers begin with headerPrefix. Headers of the input that the server would obey (Nats-Msg-Id, Nats-Expected-…), and
// headers that look like the dead letter's own, get originalPrefix.
const (
	headerPrefix   = "Signrelay-Dlq-"
	originalPrefix = headerPrefix + "Header-"
)

// The maximum sizes of an error and of a stack in a header. A stack's first 2 KiB show about ten frames.
const (
	longestError = 1 << 10
	longestStack = 2 << 10
)

// deadLetter returns the message for the DLQ. Its id comes from the place of the delivery, so publishing it again is
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

// message returns the dead letter as it is published: to the DLQ or, for a replay, to its stage.
func (l DeadLetter) message(subject, msgID string) *nats.Msg {
	h := make(nats.Header)
	for key, values := range l.Header {
		if servers(key) || strings.HasPrefix(key, headerPrefix) {
			key = originalPrefix + key
		}
		h[key] = values
	}
	set := func(key, value string) {
		if value != "" {
			h.Set(headerPrefix+key, value)
		}
	}
	h.Set(jetstream.MsgIDHeader, msgID)
	set("Stage", l.Stage)
	set("Reason", l.Reason)
	set("Fault", l.Fault)
	set("Attempts", strconv.Itoa(l.Attempts))
	set("Id", l.ID)
	set("Stream", l.Stream)
	set("Sequence", strconv.FormatUint(l.Sequence, 10))
	set("Subject", l.Subject)
	set("First-Seen", l.FirstSeen.UTC().Format(time.RFC3339))
	set("Error", l.Error)
	set("Stack", l.Stack)
	if l.Unknown {
		set("Unknown", "true")
	}
	if l.Replays > 0 {
		set("Replays", strconv.Itoa(l.Replays))
	}
	if l.replaySequence > 0 {
		set("Replay-Sequence", strconv.FormatUint(l.replaySequence, 10))
	}
	return &nats.Msg{Subject: subject, Header: h, Data: l.Data}
}

// readDeadLetter reads what message wrote; it returns false for a message that is not a dead letter.
func readDeadLetter(h nats.Header, data []byte) (DeadLetter, bool) {
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(h.Get(headerPrefix+key), 10, 63)
		return n
	}
	l := DeadLetter{
		Stage: h.Get(headerPrefix + "Stage"), Reason: h.Get(headerPrefix + "Reason"), Error: h.Get(headerPrefix + "Error"), Stack: h.Get(headerPrefix + "Stack"),
		Fault: h.Get(headerPrefix + "Fault"), Attempts: int(number("Attempts")), Unknown: h.Get(headerPrefix+"Unknown") == "true", replaySequence: number("Replay-Sequence"),
		Input: Input{
			ID: h.Get(headerPrefix + "Id"), Subject: h.Get(headerPrefix + "Subject"), Header: original(h), Data: data,
			Stream: h.Get(headerPrefix + "Stream"), Sequence: number("Sequence"), Replays: int(number("Replays")),
		},
	}
	l.FirstSeen, _ = time.Parse(time.RFC3339, h.Get(headerPrefix+"First-Seen"))
	return l, l.Stage != "" && l.ID != "" && l.Subject != "" && l.Stream != "" && l.Sequence > 0
}

// original returns the header of the input in a dead letter, exactly as it was published.
func original(dead nats.Header) nats.Header {
	h := maps.Clone(dead)
	maps.DeleteFunc(h, func(key string, _ []string) bool { return servers(key) || strings.HasPrefix(key, headerPrefix) })
	for key, values := range dead {
		if own, ok := strings.CutPrefix(key, originalPrefix); ok {
			h[own] = values
		}
	}
	return h
}

func servers(key string) bool { return strings.HasPrefix(key, "Nats-") }

// oneLine makes a text fit for a header: at most limit bytes, each printable or a space.
func oneLine(text string, limit int) string {
	text = text[:min(len(text), limit)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
