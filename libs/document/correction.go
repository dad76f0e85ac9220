package document

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A correction is a new sending to one person (event.Standing): the person is invited again, and what became of earlier messages and links does not
// count any more. A signature always counts.

// Former is a person's name and addresses before a correction. They are personal.
type Former struct {
	FirstName string `json:"fn,omitempty"`
	LastName  string `json:"ln,omitempty"`
	Email     string `json:"em,omitempty"`
	Mobile    string `json:"mo,omitempty"`
}

// mostFormer is the number of former names and addresses that are kept, the latest ones. Each correction is the decision of a person.
const mostFormer = 8

// Order is an order about a person that has no outcome yet.
type Order struct {
	ID   string    `json:"id,omitempty"` // of its event
	Type string    `json:"ty,omitempty"` // event.CorrectionRequested or event.ResendRequested
	At   time.Time `json:"at,omitzero"`
}

// is reports whether an id of the provider is the person's, or was it before a correction.
func (p *Person) is(id string) bool { return p.ID == id || slices.Contains(p.Was, id) }

// Formerly reports whether a message was made before the latest correction of its person.
func (p *Person) Formerly(m *Message) bool { return m.At.Before(p.CorrectedAt) }

// outdated reports whether what a person did, or what was done for the person, is from before the latest correction. Providers report whole seconds.
func (p *Person) outdated(e *signingv1.SigningEvent, at time.Time) bool {
	switch e.GetType() {
	case event.RecipientSigned, event.RecipientDeclined:
		return false
	}
	return slices.Contains(p.Was, e.GetRecipient().GetId()) || len(p.Was) == 0 && at.Before(p.CorrectedAt.Truncate(time.Second))
}

// order folds the orders about a person and their outcomes.
func (p *Person) order(e *signingv1.SigningEvent, at time.Time) {
	switch e.GetType() {
	case event.CorrectionRequested, event.ResendRequested:
		p.Order = Order{e.GetId(), e.GetType(), at}
		return
	}
	// Our own invitation, once more, has no event but that of its message.
	if p.Order.ID != "" && (e.GetAttributes()[event.AttributeOrder] == p.Order.ID || e.GetNotice().GetEventId() == p.Order.ID) {
		p.Order = Order{}
	}
}

// corrected folds a recipient.corrected. The provider may have given the person another id. The callbacks about that one may have arrived before, and
// then the document has the person twice.
func (d *Document) corrected(e *signingv1.SigningEvent, sequence uint64) {
	id, previous := e.GetRecipient().GetId(), e.GetAttributes()[event.AttributePrevious]
	if id == "" {
		return
	}
	i, j := d.Find(e.GetRecipient()), d.Find(&signingv1.Recipient{Id: cmp.Or(previous, id)})
	if j >= 0 && slices.Contains(d.People[j].Was, previous) && d.People[j].State != PersonErased {
		j = -1 // the id was replaced before: this is another person's
	}
	switch {
	case j < 0 && i < 0:
		p := d.person(e, sequence)
		i = slices.IndexFunc(d.People, func(o Person) bool { return o.ID == p.ID })
	case i < 0:
		i = j
	case j >= 0 && i != j:
		i = d.join(i, j)
	}
	p := &d.People[i]
	if p.State == PersonErased {
		if id = maskedID(id); !p.is(id) {
			p.Was = append(p.Was, id)
		}
		return
	}
	if previous != "" && previous != id && !slices.Contains(p.Was, previous) {
		p.Was = append(p.Was, previous)
	}
	if !slices.Contains(p.Was, id) { // not an older correction, which arrives late
		p.ID = id
	}
	p.correct(e, sequence)
}

// correct gives the person the name and the addresses of a correction, and forgets what became of the messages before it.
func (p *Person) correct(e *signingv1.SigningEvent, sequence uint64) {
	who, at := e.GetRecipient(), event.Time(e)
	if !at.After(p.CorrectedAt) {
		return
	}
	was := Former{p.FirstName, p.LastName, p.Email, p.Mobile}
	is := Former{who.GetFirstName(), who.GetLastName(), who.GetEmail(), who.GetMobile()}
	// The provider's spelling of the addresses may be another one than the log's.
	own := Former{Email: e.GetAttributes()[event.AttributePreviousEmail], Mobile: e.GetAttributes()[event.AttributePreviousMobile]}
	for _, f := range []Former{was, own} {
		if f != (Former{}) && f != is && !slices.Contains(p.Former, f) {
			p.Former = append(p.Former, f)
		}
	}
	p.Former = slices.DeleteFunc(p.Former, func(f Former) bool { return f == is })
	p.Former = p.Former[max(0, len(p.Former)-mostFormer):]
	p.FirstName, p.LastName, p.Email, p.Mobile = is.FirstName, is.LastName, is.Email, is.Mobile
	p.KnownAt, p.CorrectedAt, p.Corrected = at, at, sequence
	p.OnlyMessages = e.GetAttributes()[event.AttributeScope] != event.AtProvider
	since := at.Truncate(time.Second)
	for _, t := range []*time.Time{&p.ProviderAt, &p.UndeliverableAt, &p.OutAll, &p.InAll} {
		if t.Before(since) {
			*t = time.Time{}
		}
	}
	if was.Mobile != is.Mobile { // texts to another number
		p.OutTexts, p.InTexts = time.Time{}, time.Time{}
	}
	if p.Opened.At.Before(since) && p.Opened.RobotAt.Before(since) {
		p.Opened = Opened{Download: p.Opened.Download}
	}
	p.FallbackTo, p.FallbackID, p.FallbackAt = "", "", time.Time{}
}

// unlessFormer returns what a provider reports about a person, without what a correction for the messages of Signrelay has replaced.
func (p *Person) unlessFormer(who *signingv1.Recipient) *signingv1.Recipient {
	who = proto.CloneOf(who)
	for _, f := range p.Former {
		if strings.EqualFold(who.GetEmail(), f.Email) {
			who.Email = ""
		}
		if who.GetMobile() == f.Mobile {
			who.Mobile = ""
		}
	}
	who.FirstName, who.LastName = "", ""
	return who
}

// join makes one person of two, of whom the provider's new id was reported before the correction that says so. The place of the earlier one stays. It
// returns the index.
func (d *Document) join(corrected, old int) int {
	a, b := d.People[old], d.People[corrected]
	one := a
	one.ID, one.Was = b.ID, slices.Concat(a.Was, b.Was, []string{a.ID})
	one.First = min(a.First, b.First)
	one.CorrectedAt, one.Corrected = latest(a.CorrectedAt, b.CorrectedAt), max(a.Corrected, b.Corrected)
	one.QueuedAt, one.ProviderAt, one.UndeliverableAt = earliest(a.QueuedAt, b.QueuedAt), b.ProviderAt, b.UndeliverableAt
	one.Opened, one.WitnessAt = b.Opened, earliest(a.WitnessAt, b.WitnessAt)
	one.SignedAt, one.Signatures, one.DeclinedAt = earliest(a.SignedAt, b.SignedAt), a.Signatures+b.Signatures, latest(a.DeclinedAt, b.DeclinedAt)
	one.OutAll, one.InAll = b.OutAll, b.InAll
	one.Messages, one.Reminders = append(slices.Clone(a.Messages), b.Messages...), append(slices.Clone(a.Reminders), b.Reminders...)
	one.TextParts, one.FirstSent, one.Delivered = a.TextParts+b.TextParts, earliest(a.FirstSent, b.FirstSent), earliest(a.Delivered, b.Delivered)
	at, gone := min(old, corrected), max(old, corrected)
	if one.State == PersonErased || b.State == PersonErased {
		one.State = PersonErased
	}
	d.People[at] = one
	d.People = slices.Delete(d.People, gone, gone+1)
	return at
}

// orderEntry is the entry of an order about a person, or of its outcome.
func (x *explainer) orderEntry(t *Entry, e *signingv1.SigningEvent, who string) {
	a := e.GetAttributes()
	by, why := "An operator", a[event.AttributeReason]
	if a[event.AttributeBy] == event.BySender {
		by = "The sender"
	} else if a[event.AttributeBy] != "" {
		t.Detail = "by " + a[event.AttributeBy]
	}
	switch e.GetType() {
	case event.CorrectionRequested:
		t.Title = by + " asked for a correction of " + who
	case event.ResendRequested:
		t.Title = by + " asked for the invitation of " + who + " once more"
		if a[event.AttributeChannels] == event.ByProvider {
			t.Title = by + " asked " + x.provider() + " to invite " + who + " once more"
		}
	case event.RecipientCorrected:
		t.Title, t.Detail = upper(who)+" was corrected at "+x.provider(), "a new invitation follows, and earlier links do not work any more"
		if a[event.AttributeScope] != event.AtProvider {
			t.Title = upper(who) + " was corrected for the messages of Signrelay, not at " + x.provider()
		}
		return
	case event.RecipientResent:
		t.Title, t.Detail = upper(x.provider())+" invited "+who+" once more", ""
		return
	case event.CorrectionRefused, event.ResendRefused:
		t.Kind, t.Reason = KindProblem, why
		t.Title, t.Detail = "The correction of "+who+" was not made", RefusalWords(why, x.provider())
		if e.GetType() == event.ResendRefused {
			t.Title = upper(x.provider()) + " did not invite " + who + " once more"
		}
		if text := a[event.AttributeMessage]; text != "" && !x.d.IsMasked { // it may name the person
			t.Detail += ": " + text
		}
		return
	}
	if why != "" && !x.d.IsMasked { // free text
		t.Detail = strings.TrimPrefix(t.Detail+": "+why, ": ")
	}
}

// refusals are the reasons of correction.refused and resend.refused in words.
var refusals = map[string]string{
	event.OverSigned: "the person has signed", event.OverDeclined: "the person declined", event.OverDocument: "the document has ended",
	event.OverCorrected:       "the person was corrected meanwhile, and has another id at {provider}",
	"not-listed":              "{provider} does not list the person any more",
	event.RefusedNoAPI:        "the settings have no access to {provider}’s API",
	event.RefusedNotAllowed:   "the details break a rule",
	event.RefusedUnchanged:    "the person has these details already",
	event.RefusedByProvider:   "{provider} did not accept it",
	event.RefusedNotSupported: "{provider} has no call for it",
	"provider-writes":         "{provider} invites the person itself, and its API does not correct people",
	"provider-silent":         "{provider} sends no messages to the person",
}

// RefusalWords says why an order about a person was refused, for the reason of correction.refused or resend.refused and the provider's name for the
// reader. It has no full stop.
func RefusalWords(reason, providerName string) string {
	return strings.ReplaceAll(cmp.Or(refusals[reason], "the reason is "+reason), "{provider}", providerName)
}

// waitingOrder says what becomes of the order about a person that has no outcome yet; empty for none, and for one that a stage gave up.
func (x *explainer) waitingOrder(i int) string {
	p := &x.d.People[i]
	if slices.ContainsFunc(x.facts.Dead, func(l DeadLetter) bool { return l.Event != "" && l.Event == p.Order.ID }) {
		return ""
	}
	switch p.Order.Type {
	case event.CorrectionRequested:
		return x.name(i) + " is corrected, and then invited again"
	case event.ResendRequested:
		return x.name(i) + " gets the invitation once more"
	default:
		return ""
	}
}
