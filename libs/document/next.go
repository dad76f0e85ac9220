package document

import (
	"slices"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Next is something that will happen.
type Next struct {
	At     time.Time `json:"at,omitzero"`    // zero if it follows from something else
	When   string    `json:"when,omitempty"` // "on signing", "when it is mended": set if At is zero
	Text   string    `json:"text"`
	Person int       `json:"person"` // the index in People, or NoPerson
}

const (
	onSigning = "on signing"
	whenFixed = "when it is mended"
	onOrder   = "within a minute" // the enricher takes less than a second, unless the provider is away
)

func (x *explainer) next() []Next {
	var all []Next
	add := func(n Next) { // two messages to one person that wait for one thing are one line
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	for i := range x.d.People {
		if text := x.waitingOrder(i); text != "" {
			add(Next{When: onOrder, Text: text, Person: i})
		}
		x.nextMessages(i, add)
		x.nextReminders(i, add)
	}
	for i := range x.d.Unnamed {
		x.nextMessage(NoPerson, &x.d.Unnamed[i], add)
	}
	if x.d.State == Waiting {
		if !x.facts.ExpiresAt.IsZero() {
			add(Next{At: x.facts.ExpiresAt, Text: "The document expires at " + x.provider(), Person: NoPerson})
		}
		if n := x.onSigning(); n != "" {
			add(Next{When: onSigning, Text: n, Person: NoPerson})
		}
	}
	if x.d.State == Completed && x.facts.Archives && !slices.ContainsFunc(x.d.Files, func(f File) bool { return f.Kind == "signed" }) {
		add(Next{When: "when " + x.provider() + " has the file", Text: "The signed file is archived", Person: NoPerson})
	}
	slices.SortStableFunc(all, func(a, b Next) int {
		switch {
		case a.At.IsZero() && b.At.IsZero():
			return 0
		case a.At.IsZero():
			return 1
		case b.At.IsZero():
			return -1
		default:
			return a.At.Compare(b.At)
		}
	})
	return all
}

func (x *explainer) nextMessages(i int, add func(Next)) {
	p := &x.d.People[i]
	for j := range p.Messages {
		m := &p.Messages[j]
		if p.Formerly(m) { // it does not leave any more
			continue
		}
		x.nextMessage(i, m, add)
		due := m.SentAt.Add(x.facts.FallbackAfter)
		if m.Outcome == Sent && m.Expects && m.asks() && x.facts.FallbackAfter > 0 && due.After(x.now) && x.d.wanted(p)(m) && m.Of == "" {
			for _, c := range event.Channels {
				if c.Name != m.Channel && c.Replaces && len(x.reached(p, m)) == 0 {
					add(Next{At: due, Person: i, Text: upper(kindWord(m.Kind)) + " goes to " + x.name(i) + " " + byChannels([]string{c.Name}) + ", if no receipt has come for the " + channelWord(m.Channel)})
				}
			}
		}
	}
}

// nextMessage adds what happens next with a message that waits.
func (x *explainer) nextMessage(i int, m *Message, add func(Next)) {
	to := "the sender"
	if i >= 0 {
		to = x.name(i)
	} else if event.KindNamed(m.Kind).Signers {
		to = "a signer"
	}
	what := "The " + channelWord(m.Channel) + " to " + to
	held := slices.IndexFunc(x.facts.Held, func(h HeldMessage) bool { return h.ID == m.ID })
	switch {
	case m.Outcome == Held && held >= 0 && x.facts.Held[held].Limit:
		add(Next{When: "when an operator releases it", Text: what + " leaves", Person: i})
	case m.Outcome == Held && held >= 0 && x.facts.Held[held].Next.After(x.now):
		text := what + " leaves, if another held one is taken then"
		if n := x.facts.Held[held].Attempts; n > 0 {
			text = what + " is tried again, attempt " + strconv.Itoa(n+1)
		}
		add(Next{At: x.facts.Held[held].Next, Text: text, Person: i})
	case m.Outcome == Held:
		add(Next{When: whenFixed, Text: what + " leaves by itself", Person: i})
	case m.Outcome == Deferred:
		until, reason := m.Until, m.Reason
		if j := slices.IndexFunc(x.facts.Deferred, func(w DeferredMessage) bool { return w.ID == m.ID }); j >= 0 {
			until = x.facts.Deferred[j].Until
			if r := x.facts.Deferred[j].Reason; r != "" {
				reason = r
			}
		}
		text := what + " leaves"
		switch reason {
		case "quiet-hours":
			text += ": the quiet hours end"
		case "limit-texts-per-day":
			text += ": there is room under the daily limit again"
		}
		add(Next{At: until, Text: text, Person: i})
	}
}

// nextReminders adds the scheduled reminder of a person, and by the settings those that follow it.
func (x *explainer) nextReminders(i int, add func(Next)) {
	p := &x.d.People[i]
	if x.d.State != Waiting || !p.SignedAt.IsZero() || p.State == OptedOut || p.State == PersonErased {
		return
	}
	number, due := 0, time.Time{}
	for _, r := range p.Reminders {
		if r.State == ReminderScheduled {
			number, due = r.Number, r.Due
		}
	}
	for _, r := range x.facts.Reminders {
		if x.d.byID(r.Person) == i {
			number, due = r.Number, r.Due
		}
	}
	if number < 1 {
		return
	}
	days := x.facts.ReminderDays
	text := "Reminder " + strconv.Itoa(number)
	if number <= len(days) {
		text += " of " + strconv.Itoa(len(days))
	}
	text += " to " + x.name(i)
	if told := p.Told(); len(told) > 0 {
		text += ", " + byChannels(told)
	}
	add(Next{At: due, Text: text, Person: i})
	if number > len(days) {
		return
	}
	invited := due.Add(-days[number-1])
	for n := number; n < len(days); n++ {
		if !x.facts.ExpiresAt.IsZero() && invited.Add(days[n]).After(x.facts.ExpiresAt) {
			break // the document has ended by then
		}
		add(Next{At: invited.Add(days[n]), Text: "Reminder " + strconv.Itoa(n+1) + " of " + strconv.Itoa(len(days)) + " to " + x.name(i), Person: i})
	}
}

// onSigning says what follows from the next signature.
func (x *explainer) onSigning() string {
	missing := x.missing()
	if len(missing) == 0 {
		return ""
	}
	if x.total-x.signed > 1 || len(missing) > 1 {
		if slices.ContainsFunc(missing, func(i int) bool { return x.d.People[i].State == NotYet }) || len(missing) < x.total-x.signed {
			return "The next signer in the order gets the invitation, and those who know the document get a progress message"
		}
		return "The other signers get a progress message"
	}
	text := "All signers get the completion message with a link to the signed file"
	switch x.total {
	case 1:
		text = x.name(missing[0]) + " gets the completion message with a link to the signed file"
	case 2:
		text = "Both get the completion message with a link to the signed file"
	}
	if x.facts.Archives {
		text += ", and the file is archived"
	}
	return text
}
