package document

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// PersonState is the state of a person on a document.
type PersonState string

// The states of a person.
const (
	NotYet       PersonState = "not-yet"    // nothing was sent to the person: another person signs first, or the document was not sent
	OnItsWay     PersonState = "on-its-way" // a message was made, and is not sent yet
	Told         PersonState = "told"       // a message was handed over, or the provider notified the person
	NotTold      PersonState = "not-told"   // every message was held, given up, or not made
	OpenedState  PersonState = "opened"     // a person opened the link or the document
	SignedState  PersonState = "signed"     // the person has signed
	RefusedState PersonState = "declined"   // the person declined
	OptedOut     PersonState = "opted-out"  // the person wants no messages about the document
	PersonErased PersonState = "erased"     // the person's data was removed
)

// Certainty says how certain it is that a person opened a link.
type Certainty string

// The certainties, from the strongest.
const (
	Clicked  Certainty = "clicked"  // the button of the link's page was pressed: robots do not press it
	Reported Certainty = "provider" // the provider reports that the person opened the message or the document
	Fetched  Certainty = "fetched"  // a client that calls itself a browser fetched the link
)

func (c Certainty) rank() int {
	return slices.Index([]Certainty{"", Fetched, Reported, Clicked}, c)
}

// Opened says when a link or a document was opened. A robot's fetch does not count as opened.
type Opened struct {
	At        time.Time `json:"at,omitzero"`  // first by a person
	Certainty Certainty `json:"ce,omitempty"` // the strongest of all openings
	Times     int       `json:"ti,omitempty"` // by a person
	RobotAt   time.Time `json:"ra,omitzero"`  // first by a robot
	Robots    int       `json:"ro,omitempty"` // by a robot: at most one for each kind of program, link and day
	Download  time.Time `json:"do,omitzero"`  // first time that the signed document was fetched
}

// Person is a person of a document. Several people may share an address.
type Person struct {
	ID        string `json:"id,omitempty"` // the provider's; empty if the provider has none
	FirstName string `json:"fn,omitempty"` // personal, like the next three
	LastName  string `json:"ln,omitempty"`
	Email     string `json:"em,omitempty"`
	Mobile    string `json:"mo,omitempty"`
	// KnownAt is the time of the latest report that had a name or an address. An earlier report only adds what is missing.
	KnownAt time.Time   `json:"ka,omitzero"`
	State   PersonState `json:"st,omitempty"`
	First   uint64      `json:"fi,omitempty"` // the sequence of the first event that names the person

	QueuedAt   time.Time `json:"qa,omitzero"` // the provider sends the document later
	ProviderAt time.Time `json:"pa,omitzero"` // the provider sent the document to the person, latest
	// UndeliverableAt is when the provider last reported that it cannot reach the person.
	UndeliverableAt time.Time `json:"ua,omitzero"`
	Opened          Opened    `json:"op,omitzero"`
	WitnessAt       time.Time `json:"wa,omitzero"` // the person has signed, and a witness has not yet
	SignedAt        time.Time `json:"sa,omitzero"`
	Signatures      int       `json:"sn,omitempty"` // of several contracts or sendings
	DeclinedAt      time.Time `json:"da,omitzero"`  // latest

	OutAll   time.Time `json:"oa,omitzero"` // wants no messages about the document, latest wish
	InAll    time.Time `json:"ia,omitzero"` // wants them again
	OutTexts time.Time `json:"ot,omitzero"` // wants no texts
	InTexts  time.Time `json:"it,omitzero"` // wants them again

	// CorrectedAt is the time of the latest recipient.corrected, and Corrected its sequence. What was reported before says nothing about the person
	// as corrected, except for a signature.
	CorrectedAt time.Time `json:"ca,omitzero"`
	Corrected   uint64    `json:"cs,omitempty"`
	// OnlyMessages is true if the correction was for the messages of Signrelay: the provider still reports the name and the addresses from before.
	OnlyMessages bool     `json:"cm,omitempty"`
	Was          []string `json:"wi,omitempty"` // the provider's ids of the person before corrections
	Former       []Former `json:"fo,omitempty"` // the names and addresses before corrections, the oldest first
	Order        Order    `json:"or,omitzero"`  // of the sender or an operator, that has no outcome yet

	Messages  []Message  `json:"ms,omitempty"` // in the order of their first event
	Reminders []Reminder `json:"rs,omitempty"` // in the order of their first event
	// FallbackTo is "sms", "email" or "sender": where the document went when the provider could not reach the person.
	FallbackTo string    `json:"ft,omitempty"`
	FallbackID string    `json:"fb,omitempty"`
	FallbackAt time.Time `json:"fd,omitzero"`

	TextParts uint32    `json:"tp,omitempty"` // of all texts that were handed over, repeated ones included
	FirstSent time.Time `json:"fs,omitzero"`  // the first message that was handed over
	Delivered time.Time `json:"dl,omitzero"`  // the first delivery receipt
}

// Reminder is a reminder to a person.
type Reminder struct {
	Number int       `json:"nu,omitempty"` // from 1 in each sending
	Due    time.Time `json:"du,omitzero"`
	State  string    `json:"st,omitempty"` // one of the states below
	Reason string    `json:"re,omitempty"` // of a cancellation
	ID     string    `json:"id,omitempty"` // of reminder.due: the cause of its messages
}

// The states of a reminder.
const (
	ReminderScheduled = "scheduled"
	ReminderDue       = "due"
	ReminderCancelled = "cancelled"
)

// FullName returns the name of a person; empty if it is unknown.
func (p *Person) FullName() string {
	return strings.TrimSpace(strings.TrimSpace(p.FirstName) + " " + strings.TrimSpace(p.LastName))
}

// NameOf returns how a page calls the person with this index: the name, otherwise the e-mail address, otherwise "Signer 2".
func (d *Document) NameOf(person int) string {
	if person < 0 || person >= len(d.People) {
		return "A signer"
	}
	p := &d.People[person]
	return cmp.Or(p.FullName(), p.Email, "Signer "+strconv.Itoa(person+1))
}

// Reminded returns the number of reminders that were due.
func (p *Person) Reminded() int {
	n := 0
	for _, r := range p.Reminders {
		if r.State == ReminderDue {
			n++
		}
	}
	return n
}

// OptedOutOf reports whether the person's latest wish is to get no messages on a channel; event.AllChannels for all of them.
func (p *Person) OptedOutOf(channel string) bool {
	switch {
	case p.OutAll.After(p.InAll):
		return true
	case channel == smsName:
		return p.OutTexts.After(p.InTexts)
	default:
		return false
	}
}

// LastBefore returns the message that was handed over last before a time, such as that of the signature; nil for none. Only messages that ask
// to sign count: invitations and reminders.
func (p *Person) LastBefore(at time.Time) *Message {
	var last *Message
	for i := range p.Messages {
		m := &p.Messages[i]
		if m.asks() && !m.SentAt.IsZero() && !m.SentAt.After(at) && (last == nil || m.SentAt.After(last.SentAt)) {
			last = m
		}
	}
	return last
}

// Find returns the index of the person that an event's recipient is, or -1: by the id, otherwise as recipient.Actor finds the person.
func (d *Document) Find(who *signingv1.Recipient) int {
	if who == nil || d.IsMasked && who.GetId() == "" {
		return -1
	}
	if id := who.GetId(); id != "" {
		if i := slices.IndexFunc(d.People, func(p Person) bool { return p.is(id) }); i >= 0 || !d.IsMasked && d.Erasures == 0 {
			return i
		}
		id = maskedID(id)
		return slices.IndexFunc(d.People, func(p Person) bool { return p.is(id) })
	}
	if who.GetEmail() == "" && who.GetFirstName()+who.GetLastName() == "" {
		return -1
	}
	return d.actor(who, func(Person) bool { return true })
}

// actor finds the one person by address or name, among those who fit.
func (d *Document) actor(who *signingv1.Recipient, fits func(Person) bool) int {
	people := make([]recipient.Person, 0, len(d.People))
	places := make([]int, 0, len(d.People))
	for i, p := range d.People {
		if fits(p) {
			people = append(people, recipient.Person{Recipient: pack.Recipient{ID: p.ID, FirstName: p.FirstName, LastName: p.LastName, Email: p.Email}})
			places = append(places, i)
		}
	}
	if i := recipient.Actor(people, &signingv1.SigningEvent{Recipient: who}); i >= 0 {
		return places[i]
	}
	return -1
}

// person returns the person of an event. It adds a person whom the document does not have; nil if the event names no one. A provider may first
// report a person without an id: the id then belongs to the one person with that address or name who has none.
func (d *Document) person(e *signingv1.SigningEvent, sequence uint64) *Person {
	who := e.GetRecipient()
	if who == nil {
		return nil
	}
	i := d.Find(who)
	named := who.GetEmail() != "" || who.GetFirstName()+who.GetLastName() != ""
	if i < 0 && who.GetId() != "" && named {
		if i = d.actor(&signingv1.Recipient{Email: who.GetEmail(), FirstName: who.GetFirstName(), LastName: who.GetLastName()},
			func(p Person) bool { return p.ID == "" && p.State != PersonErased }); i >= 0 {
			d.People[i].ID = who.GetId()
		}
	}
	if i < 0 {
		if who.GetId() == "" && !named {
			return nil
		}
		d.People = append(d.People, Person{ID: who.GetId(), First: sequence})
		i = len(d.People) - 1
	}
	p := &d.People[i]
	p.learn(e)
	return p
}

// learn takes the names and addresses of a report. What Signrelay's own events have, for example the number of a reply, only fills gaps.
func (p *Person) learn(e *signingv1.SigningEvent) {
	who, at := e.GetRecipient(), event.Time(e)
	if p.State == PersonErased || slices.Contains(p.Was, who.GetId()) || who.GetFirstName()+who.GetLastName()+who.GetEmail()+who.GetMobile() == "" {
		return
	}
	own := e.GetVerification() == signingv1.Verification_VERIFICATION_INTERNAL
	newer := !own && !at.Before(p.KnownAt)
	if p.OnlyMessages { // the correction replaces what the provider reported before it, until the provider reports something else
		who = p.unlessFormer(who)
	}
	if !p.CorrectedAt.IsZero() && !newer {
		return // an address that the corrected person does not have is no gap
	}
	set := func(field *string, value string) {
		if value != "" && (newer || *field == "") {
			*field = value
		}
	}
	if first, last := who.GetFirstName(), who.GetLastName(); first+last != "" && (newer || p.FirstName+p.LastName == "") {
		p.FirstName, p.LastName = first, last
	}
	set(&p.Email, who.GetEmail())
	set(&p.Mobile, who.GetMobile())
	if newer {
		p.KnownAt = at
	}
}

// Identify adds what a caller knows about a person from outside the log, such as the provider's list of signers: the names and addresses that the
// events do not have. It adds a person whom no event names.
func (d *Document) Identify(who *signingv1.Recipient) {
	if p := d.person(&signingv1.SigningEvent{Recipient: who, Verification: signingv1.Verification_VERIFICATION_INTERNAL}, d.Sequence); p != nil {
		d.settle()
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
