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

// What a dead letter says beside the input's own bytes and headers. Headers of the input that the server would obey
// (Nats-Msg-Id, Nats-Expected-…) stand behind kept, as do any that would be taken for the letter's own.
const (
	said = "Signrelay-Dlq-"
	kept = said + "Header-"
)

// The longest error and stack that go into a header. A stack's first 2 KiB show about ten frames.
const (
	longestError = 1 << 10
	longestStack = 2 << 10
)

// deadLetter is the input as it is buried. Its id comes from its place, so burying it again is harmless.
func deadLetter(s flow.Stage, a *attempt, reason string, err error) *nats.Msg {
	h := make(nats.Header)
	for key, values := range a.msg.Headers() {
		if servers(key) || strings.HasPrefix(key, said) {
			key = kept + key
		}
		h[key] = values
	}
	sequence := strconv.FormatUint(a.meta.Sequence.Stream, 10)
	h.Set(jetstream.MsgIDHeader, fmt.Sprintf("dlq-%s-%s-%s", s.Name, a.meta.Stream, sequence))
	h.Set(said+"Stage", s.Name)
	h.Set(said+"Reason", reason)
	h.Set(said+"Attempts", strconv.Itoa(a.number))
	h.Set(said+"Stream", a.meta.Stream)
	h.Set(said+"Sequence", sequence)
	h.Set(said+"Subject", a.msg.Subject())
	h.Set(said+"First-Seen", a.meta.Timestamp.UTC().Format(time.RFC3339))
	h.Set(said+"Error", oneLine(err.Error(), longestError))
	if p := new(panicError); errors.As(err, &p) {
		h.Set(said+"Stack", oneLine(string(p.stack), longestStack))
	}
	return &nats.Msg{Subject: "dlq.v1." + s.Name, Header: h, Data: a.msg.Data()}
}

// Original is the input that a dead letter holds, exactly as it was published: subject, headers, bytes. A replay that
// comes within the stream's duplicate window has to give it another Nats-Msg-Id.
func Original(letter nats.Header, data []byte) *nats.Msg {
	h := maps.Clone(letter)
	maps.DeleteFunc(h, func(key string, _ []string) bool { return servers(key) || strings.HasPrefix(key, said) })
	for key, values := range letter {
		if original, ok := strings.CutPrefix(key, kept); ok {
			h[original] = values
		}
	}
	return &nats.Msg{Subject: letter.Get(said + "Subject"), Header: h, Data: data}
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
