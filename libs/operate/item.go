package operate

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/stage"
)

// What is a kind of work that does not go on by itself.
type What string

// The kinds, in the order of listings.
const (
	Dead        What = "dead"        // given up: a dead letter
	Quarantined What = "quarantined" // a callback that cannot be read
	Held        What = "held"        // a message that waits for the operator
)

// Whats are all kinds.
var Whats = []What{Dead, Quarantined, Held}

// Filter selects stuck work. The zero value selects all of it.
type Filter struct {
	What     What      `json:"what,omitempty"`
	Stage    string    `json:"stage,omitempty"` // "ingest" for quarantined callbacks
	Reason   string    `json:"reason,omitempty"`
	Source   string    `json:"source,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Document string    `json:"document,omitempty"` // the provider's id; a quarantined callback has none
	Channel  string    `json:"channel,omitempty"`  // of held messages
	Limit    bool      `json:"limit,omitempty"`    // only messages that are held because of a limit
	Since    time.Time `json:"since,omitzero"`     // stuck at that time or later
	Until    time.Time `json:"until,omitzero"`     // stuck before that time
}

func (f Filter) has(i Item) bool {
	return (f.What == "" || f.What == i.What) && (f.Stage == "" || f.Stage == i.Stage) && (f.Reason == "" || f.Reason == i.Reason) &&
		(f.Source == "" || f.Source == i.Source) && (f.Provider == "" || f.Provider == i.Provider) &&
		(f.Document == "" || f.Document == i.Document || event.DocumentToken(f.Document) == i.Document) &&
		(f.Channel == "" || slices.Contains(i.Channels, f.Channel)) && (!f.Limit || i.Limit) &&
		!i.Since.Before(f.Since) && (f.Until.IsZero() || i.Since.Before(f.Until))
}

// HasDead reports whether the filter selects a dead letter.
func (f Filter) HasDead(l stage.DeadLetter) bool { return f.has(itemOfDead(l)) }

// HasCallback reports whether the filter selects a quarantined callback.
func (f Filter) HasCallback(k quarantine.Callback) bool { return f.has(itemOfCallback(k)) }

func (f Filter) wants(what What) bool { return f.What == "" || f.What == what }

// Item is one piece of stuck work, without personal data.
type Item struct {
	Key       string        `json:"key"` // identifies it among all; see Page
	What      What          `json:"what"`
	Stage     string        `json:"stage"`
	Reason    string        `json:"reason"`
	Fault     outcome.Fault `json:"fault,omitempty"` // empty if it is not known
	Detail    string        `json:"detail,omitempty"`
	Source    string        `json:"source"`
	Provider  string        `json:"provider"`
	Document  string        `json:"document,omitempty"`
	Recipient string        `json:"recipient,omitempty"`
	About     string        `json:"about,omitempty"` // "invitation by sms"
	Channels  []string      `json:"channels,omitempty"`
	Since     time.Time     `json:"since"`
	First     time.Time     `json:"first_seen,omitzero"` // of a dead letter: when its stream stored the input
	Attempts  int           `json:"attempts,omitempty"`
	Replays   int           `json:"replays,omitempty"`
	Unknown   bool          `json:"unknown,omitempty"` // it is unknown whether its effect happened
	Gone      bool          `json:"gone,omitempty"`    // its stream no longer has it, so it cannot be replayed
	Limit     bool          `json:"limit,omitempty"`   // held because it is beyond a limit: it can be released alone
	Country   string        `json:"country,omitempty"` // of a held text, if the settings do not allow texts to it
	Bytes     int           `json:"bytes,omitempty"`

	person uint64 // a hash, only to count different people; 0 is not known
	number uint64
}

// Key returns the key of a message in a stream. Its digits are padded, so that the order of keys is that of the stream.
func Key(what What, number uint64) string { return fmt.Sprintf("%s.%020d", what, number) }

// Number returns the number of the message that a key names in its stream; 0 for a held message.
func Number(key string) uint64 { return max(number(Dead, key), number(Quarantined, key)) }

// number returns the number of a key of that kind; 0, which no message has, for another key.
func number(what What, key string) uint64 {
	digits, ok := strings.CutPrefix(key, string(what)+".")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return n
}

// order compares two keys in the order of listings.
func order(a, b string) int {
	place := func(key string) int {
		what, _, _ := strings.Cut(key, ".")
		return slices.Index(Whats, What(what))
	}
	return cmp.Or(place(a)-place(b), strings.Compare(a, b))
}

// ingestStage is the stage of quarantined callbacks.
const ingestStage = "ingest"

func itemOfDead(l stage.DeadLetter) Item {
	a := AboutOf(l)
	i := Item{
		Key: Key(Dead, l.Number), What: Dead, Stage: l.Stage, Reason: l.Reason, Fault: outcome.Fault(l.Fault), Detail: l.Error,
		Source: a.Source, Provider: a.Provider, Document: a.Document, Recipient: a.Recipient, About: a.What, Channels: a.Channels,
		Since: l.Buried, First: l.FirstSeen, Attempts: l.Attempts, Replays: l.Replays, Unknown: l.Unknown, Gone: l.Gone, Bytes: len(l.Data), number: l.Number,
	}
	if i.Fault == "" && slices.Contains([]string{"undecodable", "panic", "max-deliveries", "terminated"}, l.Reason) {
		i.Fault = outcome.Ours
	}
	switch {
	case a.Person != "":
		i.person = personHash(a.Person)
	case a.Recipient != "":
		i.person = personHash(a.Source, a.Provider, a.Document, a.Recipient)
	}
	return i
}

func itemOfCallback(k quarantine.Callback) Item {
	i := Item{
		Key: Key(Quarantined, k.Number), What: Quarantined, Stage: ingestStage, Reason: k.Reason, Fault: outcome.Provider, Detail: k.Detail,
		Source: k.Source, Provider: k.Provider, About: k.Method, Since: k.Received, Bytes: k.Bytes, number: k.Number,
	}
	if k.Item != nil {
		i.About = fmt.Sprintf("item %d", *k.Item)
	}
	if k.Reason == "panic" {
		i.Fault = outcome.Ours
	}
	return i
}

func itemOfHeld(h notification.Held) Item {
	i := Item{
		Key: string(Held) + "." + h.Key(), What: Held, Stage: event.ChannelNamed(h.Channel).Stage, Reason: h.Reason, Fault: h.Fault,
		Source: h.Source, Provider: h.Provider, Document: h.Document, Recipient: h.Person(), About: h.Kind + " by " + h.Channel,
		Channels: []string{h.Channel}, Since: h.Since, Limit: h.Limit, Country: h.Country,
	}
	if h.Person() != "" {
		i.person = personHash(h.Source, h.Provider, h.Document, h.Person())
	}
	return i
}

// items yields the stuck work that the filter selects, in no order. Each stream is read once, or its facts are in memory.
func (o *Operator) items(ctx context.Context, f Filter) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if o.Remember {
			kept, err := o.board.refresh(ctx, o.JS, f)
			if err != nil {
				yield(Item{}, err)
				return
			}
			if kept {
				o.board.each(f, func(i Item) bool { return yield(i, nil) })
				return
			}
		}
		if f.wants(Dead) {
			for l, err := range (stage.DeadLetters{JS: o.JS}).All(ctx) {
				if err != nil {
					yield(Item{}, err)
					return
				}
				if i := itemOfDead(l); f.has(i) && !yield(i, nil) {
					return
				}
			}
		}
		if f.wants(Quarantined) && (f.Stage == "" || f.Stage == ingestStage) {
			for m, err := range (event.Log{JS: o.JS, Stream: flow.Quarantine}).Messages(ctx, flow.Quarantined, f.Since) {
				if err != nil {
					yield(Item{}, err)
					return
				}
				if i := itemOfCallback(quarantine.Describe(m)); f.has(i) && !yield(i, nil) {
					return
				}
			}
		}
		if !f.wants(Held) {
			return
		}
		all, err := notification.HeldMessages(ctx, o.JS)
		if err != nil {
			yield(Item{}, err)
			return
		}
		for _, h := range all {
			if i := itemOfHeld(h); f.has(i) && !yield(i, nil) {
				return
			}
		}
	}
}
