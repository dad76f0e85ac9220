package document

import (
	"cmp"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Untold is a person who was not notified on a channel, and why.
type Untold struct {
	Person  int     `json:"person"` // the index in People, or NoPerson for the sender and for a signer without an id
	Name    string  `json:"name"`
	Channel string  `json:"channel,omitempty"` // empty if the reason concerns no channel
	Kind    string  `json:"kind,omitempty"`
	Number  int     `json:"number,omitempty"` // of the reminder
	Outcome Outcome `json:"outcome,omitempty"`
	Message string  `json:"message,omitempty"` // the notification's id, for an action
	Letter  string  `json:"letter,omitempty"`  // the key of the dead letter
	Reason  string  `json:"reason,omitempty"`  // as in the events
	// Because is the reason in words, without a full stop. Blame says whose fault it is, and Mends what mends it; both may be empty.
	Because  string        `json:"because"`
	Fault    outcome.Fault `json:"fault,omitempty"`
	Blame    string        `json:"blame,omitempty"`
	Mends    string        `json:"mends,omitempty"`
	Since    time.Time     `json:"since,omitzero"`
	Attempts int           `json:"attempts,omitempty"` // 0 if unknown
	Others   int           `json:"others,omitempty"`   // other messages that are held for the same reason
	// Reached are the channels on which the person got the same message.
	Reached []string `json:"reached,omitempty"`
	// Minor is true if an operator need not do anything: the person was reached on another channel, the turn has not come, or the message waits for a
	// time.
	Minor bool `json:"minor,omitempty"`
}

// GivenUp is the outcome of a message whose input is a dead letter that the log does not mention.
const GivenUp Outcome = "given-up"

func (x *explainer) untold() []Untold {
	var all []Untold
	for i := range x.d.People {
		all = append(all, x.untoldPerson(i)...)
	}
	for i := range x.d.Unnamed {
		if m := &x.d.Unnamed[i]; m.problem() && !x.later(x.d.Unnamed, m) {
			u := x.untoldMessage(NoPerson, m, nil)
			if u.Name = "The sender"; event.KindNamed(m.Kind).Signers {
				u.Name = "A signer"
				if m.Reason == "no-signers" {
					u.Name = "Every signer"
				}
			}
			all = append(all, u)
		}
	}
	for _, l := range x.facts.Dead {
		if !slices.ContainsFunc(all, func(u Untold) bool { return l.Message != "" && u.Message == l.Message }) {
			all = append(all, x.untoldLetter(l))
		}
	}
	slices.SortStableFunc(all, func(a, b Untold) int {
		if a.Minor != b.Minor {
			if b.Minor {
				return -1
			}
			return 1
		}
		return 0
	})
	return all
}

// untoldPerson returns what a person did not get: of the messages that the person should have, the latest one on each channel.
func (x *explainer) untoldPerson(i int) (all []Untold) {
	p := &x.d.People[i]
	if order := x.waitingOrder(i); order != "" {
		defer func() {
			for j := range all {
				all[j].Mends = "This was asked for " + x.ago(p.Order.At) + ": " + order + "."
			}
		}()
	}
	switch {
	case p.State == PersonErased:
		return nil
	case x.d.State == Waiting && p.State == OptedOut:
		return []Untold{{
			Person: i, Name: x.name(i), Outcome: Suppressed, Reason: event.OptedOut, Because: "this person wants no messages about the document", Since: p.OutAll,
			Mends: "Only the person can change that, on the page of the link.", Minor: true,
		}}
	}
	wanted := x.d.wanted(p)
	var latest *Message
	for j := range p.Messages {
		if m := &p.Messages[j]; (wanted(m) || m.Outcome == Held) && !p.Formerly(m) && (latest == nil || !m.At.Before(latest.At)) {
			latest = m
		}
	}
	if latest != nil {
		reached := x.reached(p, latest)
		for j := range p.Messages {
			m := &p.Messages[j]
			same := m.Kind == latest.Kind && m.Number == latest.Number && !x.later(p.Messages, m)
			switch {
			case p.Formerly(m):
			case m.Outcome == Held, same && m.problem():
				all = append(all, x.untoldMessage(i, m, x.reached(p, m)))
			case same && m.Outcome == Deferred:
				u := x.untoldMessage(i, m, reached)
				u.Minor = true
				all = append(all, u)
			}
		}
	}
	if x.d.State != Waiting || !p.SignedAt.IsZero() {
		return all
	}
	switch {
	case p.UndeliverableAt.After(p.ProviderAt):
		u := Untold{
			Person: i, Name: x.name(i), Channel: emailName, Kind: "invitation", Outcome: Failed, Reason: "undeliverable", Since: p.UndeliverableAt,
			Because: x.because("undeliverable", emailName), Fault: outcome.Recipient, Mends: x.mends("undeliverable", emailName, outcome.Recipient),
			Reached: p.Told(),
		}
		u.Blame, u.Minor = blame(u.Fault, u.Outcome, emailName), len(u.Reached) > 0
		all = append(all, u)
	case p.State == NotYet && latest == nil:
		u := Untold{Person: i, Name: x.name(i), Because: "nothing was sent to this person yet", Minor: true}
		if !p.CorrectedAt.IsZero() {
			u.Because = "the person was corrected, and the new invitation is not on its way yet"
		}
		if x.waitsForOther(p) {
			u.Reason, u.Because, u.Mends = "not-their-turn", "another person signs first", "It goes by itself when the turn comes."
		}
		all = append(all, u)
	}
	return all
}

// later reports whether another message replaces this one: of the same kind and occasion, on the same channel.
func (x *explainer) later(all []Message, m *Message) bool {
	return slices.ContainsFunc(all, func(o Message) bool {
		return o.ID != m.ID && o.Kind == m.Kind && o.Channel == m.Channel && o.Number == m.Number && o.At.After(m.At)
	})
}

// reached returns the channels on which the person got the same message.
func (x *explainer) reached(p *Person, m *Message) (channels []string) {
	for _, o := range p.Messages {
		if o.Kind == m.Kind && o.Number == m.Number && o.Channel != m.Channel && o.arrived() && !slices.Contains(channels, o.Channel) {
			channels = append(channels, o.Channel)
		}
	}
	return channels
}

// waitsForOther reports whether the provider or the log says that another person signs first.
func (x *explainer) waitsForOther(p *Person) bool {
	if !p.QueuedAt.IsZero() {
		return true
	}
	for _, s := range x.facts.Signers {
		if i := x.d.byID(s.ID); i >= 0 && &x.d.People[i] == p {
			return slices.ContainsFunc(x.facts.Signers, func(o Signer) bool { return o.Order < s.Order && !o.Signed })
		}
	}
	return false
}

func (x *explainer) untoldMessage(person int, m *Message, reached []string) Untold {
	u := Untold{
		Person: person, Name: x.name(person), Channel: m.Channel, Kind: m.Kind, Number: m.Number, Outcome: m.Outcome, Message: m.ID, Reason: m.Reason,
		Fault: outcome.Fault(m.Fault), Since: m.EndedAt, Reached: reached,
	}
	if i := slices.IndexFunc(x.facts.Held, func(h HeldMessage) bool { return h.ID == m.ID }); i >= 0 {
		h := x.facts.Held[i]
		u.Outcome, u.Reason, u.Fault, u.Since, u.Attempts, u.Others = Held, cmp.Or(h.Reason, u.Reason), outcome.Fault(cmp.Or(h.Fault, m.Fault)), h.Since, h.Attempts, h.Others
	}
	if i := slices.IndexFunc(x.facts.Dead, func(l DeadLetter) bool { return l.Message != "" && l.Message == m.ID }); i >= 0 {
		u.Letter, u.Attempts = x.facts.Dead[i].Key, x.facts.Dead[i].Attempts
	}
	u.Because, u.Mends = x.because(u.Reason, m.Channel), x.mends(u.Reason, m.Channel, u.Fault)
	if u.Blame = blame(u.Fault, u.Outcome, m.Channel); u.Outcome == Held {
		return u
	}
	if u.Minor = len(reached) > 0; m.Fallback == toSender && m.Outcome == Failed {
		u.Mends = "The sender of the document is notified, because no other channel is left. " + u.Mends
	}
	return u
}

// toSender is where a message falls back to when no channel is left.
const toSender = "sender"

func (x *explainer) untoldLetter(l DeadLetter) Untold {
	u := Untold{
		Person: NoPerson, Name: "A signer", Channel: l.Channel, Kind: l.Kind, Outcome: GivenUp, Message: l.Message, Letter: l.Key, Reason: l.Reason,
		Fault: outcome.Fault(l.Fault), Since: l.At, Attempts: l.Attempts, Because: "the stage " + l.Stage + " gave up, " + x.because(l.Reason, l.Channel),
		Mends: "Mend the cause, then replay the dead letter.",
	}
	if i := x.d.byID(l.Person); i >= 0 {
		u.Person, u.Name = i, x.name(i)
	}
	u.Blame = blame(u.Fault, u.Outcome, l.Channel)
	return u
}

// byID returns the index of the person with an id of the provider, or -1.
func (d *Document) byID(id string) int {
	if id == "" {
		return -1
	}
	if d.IsMasked || d.Erasures > 0 {
		if i := slices.IndexFunc(d.People, func(p Person) bool { return p.is(maskedID(id)) }); i >= 0 {
			return i
		}
	}
	return slices.IndexFunc(d.People, func(p Person) bool { return p.is(id) })
}

// blame says whose fault it is. It never blames the signer.
func blame(whose outcome.Fault, is Outcome, channel string) string {
	switch whose {
	case outcome.Operator:
		if is == Held {
			return "This is our fault, not the signer's: the " + channelWord(channel) + " is held, not lost."
		}
		return "This is our fault, not the signer's."
	case outcome.Provider:
		return "This is the fault of the other side."
	case outcome.Ours:
		return "This is a fault of Signrelay."
	case outcome.Recipient:
		if channel == emailName {
			return "It concerns this address only: our account works."
		}
		return "It concerns this number only: our account works."
	default:
		return ""
	}
}

// Told returns the channels on which a message that asks to sign reached the person, in the order of the channels. The provider's own message
// counts as an e-mail.
func (p *Person) Told() (channels []string) {
	for _, c := range event.Channels {
		reached := slices.ContainsFunc(p.Messages, func(m Message) bool { return m.asks() && m.Channel == c.Name && m.arrived() && !p.Formerly(&m) })
		if reached || c.Name == emailName && !p.ProviderAt.IsZero() && !p.UndeliverableAt.After(p.ProviderAt) {
			channels = append(channels, c.Name)
		}
	}
	return channels
}
