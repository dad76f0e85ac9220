package document

import (
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Explanation is what a page shows about a document. It is data and has no markup. Names, addresses, titles and texts are in it only if the
// document is not masked.
type Explanation struct {
	Sentence string        `json:"sentence"`           // what state it is in, and who was not notified
	More     string        `json:"more,omitempty"`     // what the people have got so far; empty if the sentence says all
	Badges   []Badge       `json:"badges"`             // beside the title
	Untold   []Untold      `json:"untold,omitempty"`   // the most important first
	Next     []Next        `json:"next,omitempty"`     // the earliest first; those without a time last
	Timeline []Entry       `json:"timeline,omitempty"` // the newest first
	Lanes    []Lane        `json:"lanes,omitempty"`    // in the order of the people
	Verified []BadgeNumber `json:"verified,omitempty"` // how the events were verified
}

// Badge is a short word with a tone.
type Badge struct {
	Text string `json:"text"`
	Tone Tone   `json:"tone,omitempty"`
}

// Tone says whether something is good or bad. A page must not show it by colour alone.
type Tone string

// The tones; empty for a neutral fact.
const (
	Good    Tone = "ok"
	Warn    Tone = "warn"
	Bad     Tone = "bad"
	Running Tone = "run"
)

// BadgeNumber is a number of events with one kind of verification.
type BadgeNumber struct {
	Badge  string `json:"badge"`
	Events int    `json:"events"`
}

// NoPerson is the index of a person in an Explanation for the sender of the document, or for a signer whom no event names.
const NoPerson = -1

// explainer is the state of one Explain.
type explainer struct {
	d      *Document
	facts  Facts
	now    time.Time
	events []event.Stored
	byID   map[string]event.Stored
	total  int // of signers
	signed int
}

// Explain explains a document at a time, from its events in the order of the log. It needs no events for anything but the timeline and the
// lanes. The document may be masked: then the explanation has no personal data, whatever the events have.
func Explain(d *Document, events []event.Stored, facts Facts, now time.Time) Explanation {
	d = withSigners(d, facts.Signers)
	x := &explainer{d: d, facts: facts, now: now, events: events, byID: make(map[string]event.Stored, len(events))}
	for _, s := range events {
		x.byID[s.Event.GetId()] = s
	}
	x.signed, x.total = d.Signed()
	x.total = max(x.total, len(facts.Signers))
	ex := Explanation{Untold: x.untold(), Next: x.next(), Timeline: x.timeline(), Lanes: x.lanes(), Verified: x.verified()}
	ex.Sentence, ex.More = x.sentence(ex.Untold), x.more()
	ex.Badges = x.badges(ex.Untold)
	return ex
}

// withSigners returns a copy of the document that also has the signers whom no event names.
func withSigners(d *Document, signers []Signer) *Document {
	c := *d
	c.People = slices.Clone(d.People)
	for _, s := range signers {
		i := c.byID(s.ID)
		if i < 0 {
			id := s.ID
			if c.IsMasked {
				id = maskedID(id)
			}
			c.People = append(c.People, Person{ID: id, State: NotYet})
			i = len(c.People) - 1
		}
		if p := &c.People[i]; !c.IsMasked && p.State != PersonErased && p.FullName() == "" {
			p.FirstName = s.Name
		}
	}
	return &c
}

// name returns how the page calls a person.
func (x *explainer) name(person int) string { return x.d.NameOf(person) }

// provider returns the provider's name for the reader.
func (x *explainer) provider() string {
	if x.facts.ProviderName != "" {
		return x.facts.ProviderName
	}
	if name := providerNames[x.d.Provider]; name != "" {
		return name
	}
	return "the provider"
}

// vendor returns who takes the messages of a channel.
func (x *explainer) vendor(channel string) string {
	switch {
	case channel == smsName && x.facts.TextVendor != "":
		return x.facts.TextVendor
	case channel == smsName:
		return "the SMS vendor"
	case x.facts.MailServer != "":
		return x.facts.MailServer
	default:
		return "the mail server"
	}
}

// missing returns the people who have not signed and may still sign.
func (x *explainer) missing() (all []int) {
	for i, p := range x.d.People {
		if p.State != SignedState && p.State != RefusedState && p.State != PersonErased {
			all = append(all, i)
		}
	}
	return all
}

// knowsAll reports whether all signers are known, so that it is certain who is the last one.
func (x *explainer) knowsAll() bool { return len(x.facts.Signers) > 0 }

func (x *explainer) badges(untold []Untold) []Badge {
	var all []Badge
	if slices.ContainsFunc(untold, func(u Untold) bool { return !u.Minor }) {
		all = append(all, Badge{"Not notified", Bad})
	}
	switch state := x.d.State; state {
	case Waiting:
		if x.total > 0 {
			all = append(all, Badge{"Waiting for " + count(max(x.total-x.signed, 0)) + " of " + count(x.total), Running})
		} else {
			all = append(all, Badge{"Waiting", Running})
		}
	case Completed:
		all = append(all, Badge{"Completed", Good})
	case Declined, Voided, Expired:
		all = append(all, Badge{upper(string(state)), Warn})
	case "":
	default:
		all = append(all, Badge{upper(string(state)), ""})
	}
	if x.held() {
		all = append(all, Badge{"Legal hold", ""})
	}
	return all
}

func (x *explainer) held() bool { return x.facts.LegalHold != nil || !x.d.HeldSince.IsZero() }

func (x *explainer) verified() []BadgeNumber {
	var all []BadgeNumber
	for _, s := range x.events {
		badge := badgeOf(s.Event)
		if i := slices.IndexFunc(all, func(n BadgeNumber) bool { return n.Badge == badge }); i >= 0 {
			all[i].Events++
		} else {
			all = append(all, BadgeNumber{badge, 1})
		}
	}
	return all
}
