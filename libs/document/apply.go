package document

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Apply folds one event of the document, in the order of the log. It ignores an event whose sequence is not above d.Sequence, so a repetition
// changes nothing. The order of the log is not the order in which the facts occurred: an earlier fact that arrives late sets nothing back. An
// event that nothing authenticated changes no state, because a forged event must not hide that a person was not notified (see event.PastOf).
//
// The caller decides which events belong to the document. Events about its people may not name it (esign-v1).
func (d *Document) Apply(e *signingv1.SigningEvent, sequence uint64) {
	if sequence <= d.Sequence {
		return
	}
	d.Sequence = sequence
	if d.State == Erased {
		return // what arrives after the erasure must not bring the data back
	}
	at := event.Time(e)
	d.FirstAt, d.LastAt = earliest(d.FirstAt, at), latest(d.LastAt, at)
	d.Source, d.Provider = cmp.Or(d.Source, e.GetSource()), cmp.Or(d.Provider, e.GetProvider())
	switch e.GetVerification() {
	case signingv1.Verification_VERIFICATION_NONE:
		d.Reported++
		d.Unverified++
		d.ID = cmp.Or(d.ID, e.GetDocument().GetId())
		d.State = cmp.Or(d.State, Created)
		return
	case signingv1.Verification_VERIFICATION_INTERNAL:
		d.Own++
	default:
		d.Reported++
	}
	switch e.GetType() {
	case event.DocumentErased: // its document.id is not the document's
		d.erase(e)
		return
	case event.DocumentHeld, event.DocumentReleased: // its document.id is the token
		d.hold(e, at)
		return
	}
	d.describe(e, at)
	if e.GetType() == event.RecipientCorrected {
		d.corrected(e, sequence)
	}
	p := d.person(e, sequence)
	if p != nil {
		p.order(e, at)
	}
	switch event.Entity(e.GetType()) {
	case "document":
		d.happened(e, at)
	case event.EntityRecipient:
		d.acted(p, e, at)
	case event.EntityNotification:
		d.notified(p, e, at)
	case event.EntityLink:
		d.opened(p, e, at)
	case event.EntityReminder:
		if p != nil {
			p.remind(e, at)
		}
	}
	d.settle()
}

// describe takes the data of the document. A later report replaces a title; an event of Signrelay has none.
func (d *Document) describe(e *signingv1.SigningEvent, at time.Time) {
	named := e.GetDocument()
	if named == nil {
		return
	}
	d.ID = cmp.Or(d.ID, named.GetId())
	if title := named.GetTitle(); title != "" && (d.Title == "" || !at.Before(d.TitledAt)) {
		d.Title, d.TitledAt = title, at
	}
	d.Group = cmp.Or(d.Group, named.GetGroup())
}

// happened folds a fact about the document.
func (d *Document) happened(e *signingv1.SigningEvent, at time.Time) {
	switch e.GetType() {
	case event.DocumentCreated:
		d.CreatedAt = earliest(d.CreatedAt, at)
	case event.DocumentSent:
		d.Sendings++
		d.SentAt, d.FirstSent = latest(d.SentAt, at), earliest(d.FirstSent, at)
	case event.DocumentCompleted:
		d.Ends.Completed = earliest(d.Ends.Completed, at)
	case event.DocumentDeclined:
		d.Ends.Declined = latest(d.Ends.Declined, at)
	case event.DocumentVoided:
		d.Ends.Voided = latest(d.Ends.Voided, at)
	case event.DocumentExpired:
		d.Ends.Expired = latest(d.Ends.Expired, at)
	case event.DocumentArchived:
		f := File{Kind: e.GetFile().GetKind(), Size: e.GetFile().GetSize(), SHA256: e.GetFile().GetSha256(), Key: e.GetFile().GetKey(), At: at}
		if i := slices.IndexFunc(d.Files, func(o File) bool { return o.Kind == f.Kind && o.SHA256 == f.SHA256 }); i < 0 {
			d.Files = append(d.Files, f)
		}
	}
}

// acted folds what a person did, or what the provider did for the person; p is nil if the event names no one.
func (d *Document) acted(p *Person, e *signingv1.SigningEvent, at time.Time) {
	if p == nil {
		switch e.GetType() {
		case event.RecipientSigned:
			d.UnnamedSigned++
		case event.RecipientDeclined:
			d.Ends.Refused = latest(d.Ends.Refused, at)
		}
		return
	}
	if p.outdated(e, at) {
		return
	}
	switch e.GetType() {
	case event.RecipientResent:
		p.ProviderAt = latest(p.ProviderAt, at)
	case event.RecipientQueued:
		p.QueuedAt = earliest(p.QueuedAt, at)
	case event.RecipientSent:
		p.ProviderAt = latest(p.ProviderAt, at)
	case event.RecipientUndeliverable:
		p.UndeliverableAt = latest(p.UndeliverableAt, at)
	case event.RecipientOpened, event.RecipientDisplayed, event.RecipientFilled, event.RecipientAgreed:
		p.Opened.by(Reported, at)
	case event.RecipientAwaitingWitness:
		p.Opened.by(Reported, at)
		p.WitnessAt = earliest(p.WitnessAt, at)
	case event.RecipientSigned:
		p.SignedAt = earliest(p.SignedAt, at)
		p.Signatures++
	case event.RecipientDeclined:
		p.DeclinedAt = latest(p.DeclinedAt, at)
	case event.RecipientDownloaded:
		p.Opened.Download = earliest(p.Opened.Download, at)
	case event.RecipientOptedOut:
		p.wish(e, at, &p.OutAll, &p.OutTexts)
	case event.RecipientOptedIn:
		p.wish(e, at, &p.InAll, &p.InTexts)
	}
}

func (p *Person) wish(e *signingv1.SigningEvent, at time.Time, all, texts *time.Time) {
	switch e.GetAttributes()[attributeChannel] {
	case event.AllChannels:
		*all = latest(*all, at)
	case smsName:
		*texts = latest(*texts, at)
	}
}

func (o *Opened) by(certainty Certainty, at time.Time) {
	o.At = earliest(o.At, at)
	o.Times++
	if certainty.rank() > o.Certainty.rank() {
		o.Certainty = certainty
	}
}

// opened folds an event about a link.
func (d *Document) opened(p *Person, e *signingv1.SigningEvent, at time.Time) {
	o := &d.Opened
	if p != nil {
		o = &p.Opened
	}
	switch {
	case e.GetType() == event.LinkSubstituted:
		if p != nil {
			message(&p.Messages, e).add(e)
		}
	case e.GetAttributes()[attributePurpose] == purposeCorrect, p != nil && p.outdated(e, at):
		// the sender's link, or one from before a correction: the person opened nothing
	case e.GetType() == event.LinkFetched:
		o.RobotAt = earliest(o.RobotAt, at)
		o.Robots++
	case e.GetAttributes()[attributePurpose] == purposeDownload:
		o.Download = earliest(o.Download, at)
	default:
		certainty := Certainty(e.GetAttributes()["certainty"])
		if certainty.rank() < 0 {
			certainty = Fetched // of a later release
		}
		o.by(certainty, at)
	}
}

// notified folds an event about a message.
func (d *Document) notified(p *Person, e *signingv1.SigningEvent, at time.Time) {
	if e.GetType() == event.NotificationFallback {
		if p != nil {
			p.fellBack(e, at)
		}
		return
	}
	if p == nil {
		message(&d.Unnamed, e).add(e)
		return
	}
	known := len(p.Messages)
	m := message(&p.Messages, e)
	if len(p.Messages) > known {
		p.join(m, e.GetNotice().GetEventId())
	}
	p.TextParts += m.add(e)
	switch e.GetType() {
	case event.NotificationSent:
		p.FirstSent = earliest(p.FirstSent, at)
	case event.NotificationDelivered:
		p.FirstSent, p.Delivered = earliest(p.FirstSent, at), earliest(p.Delivered, at)
	}
}

// join finds the reminder, or the lost message, that a message follows from.
func (p *Person) join(m *Message, cause string) {
	for _, r := range slices.Backward(p.Reminders) {
		if r.ID != "" && r.ID == cause {
			m.Number = r.Number
			return
		}
	}
	for i := range p.Messages {
		if lost := &p.Messages[i]; lost.FallbackID != "" && lost.FallbackID == cause {
			m.Number, m.Of = lost.Number, lost.Channel
			return
		}
	}
	if p.FallbackID != "" && p.FallbackID == cause {
		m.Of = emailName // the provider's own message counts as an e-mail
	}
}

func (p *Person) fellBack(e *signingv1.SigningEvent, at time.Time) {
	to, lost := e.GetAttributes()[attributeTo], e.GetNotice().GetNotificationId()
	for i := range p.Messages {
		if m := &p.Messages[i]; lost != "" && m.ID == lost {
			m.Fallback, m.FallbackID = to, e.GetId()
			return
		}
	}
	p.FallbackTo, p.FallbackID, p.FallbackAt = to, e.GetId(), at
}

// mostReminders is the number of reminders of a person that are kept: settings allow 30 for a sending.
const mostReminders = 40

// remind folds an event about a reminder. At any time one reminder of a person is scheduled, so a later schedule replaces it.
func (p *Person) remind(e *signingv1.SigningEvent, at time.Time) {
	number, _ := strconv.Atoi(e.GetAttributes()[attributeNumber])
	due, err := time.Parse(time.RFC3339Nano, e.GetAttributes()[attributeDue])
	if err != nil {
		due = at
	}
	due = due.UTC()
	i := slices.IndexFunc(p.Reminders, func(r Reminder) bool { return r.Number == number && r.Due.Equal(due) })
	if i < 0 {
		if e.GetType() == event.ReminderScheduled {
			p.Reminders = slices.DeleteFunc(p.Reminders, func(r Reminder) bool { return r.State == ReminderScheduled })
		}
		if len(p.Reminders) >= mostReminders {
			p.Reminders = slices.Delete(p.Reminders, 0, 1)
		}
		p.Reminders = append(p.Reminders, Reminder{Number: number, Due: due})
		i = len(p.Reminders) - 1
	}
	switch r := &p.Reminders[i]; {
	case e.GetType() == event.ReminderDue:
		r.State, r.Reason, r.ID = ReminderDue, "", e.GetId()
	case r.State == ReminderDue: // it was made: a schedule or a cancellation that arrives later does not undo that
	case e.GetType() == event.ReminderCancelled:
		r.State, r.Reason = ReminderCancelled, e.GetAttributes()[attributeReason]
	case e.GetType() == event.ReminderScheduled && r.State == "":
		r.State = ReminderScheduled
	}
}

func (d *Document) hold(e *signingv1.SigningEvent, at time.Time) {
	if e.GetType() == event.DocumentHeld {
		d.HeldSince = at
	} else {
		d.HeldSince = time.Time{}
	}
}

// erase folds document.erased. For a document, only what is not personal stays: that people were sent a document, and when. For a person, the
// event does not say which one: it has the places of the removed events in the log, so a person whose first event was removed is the one.
func (d *Document) erase(e *signingv1.SigningEvent) {
	if spans := e.GetAttributes()["sequences"]; e.GetAttributes()["scope"] == "person" {
		for i := range d.People {
			switch p := &d.People[i]; {
			case p.Corrected > 0 && !inSpans(spans, p.Corrected) && inSpans(spans, p.First):
				p.Former = nil // the addresses before the correction were another person's
			case inSpans(spans, max(p.First, p.Corrected)):
				p.forget()
				d.Erasures++
			}
		}
		d.settle()
		return
	}
	d.State, d.ErasedBy, d.EndedAt = Erased, e.GetAttributes()["by"], event.Time(e)
	d.ID, d.Title, d.Group, d.Sender, d.Files, d.Unnamed, d.Untold = e.GetDocument().GetId(), "", "", "", nil, nil, 0
	for i := range d.People {
		d.People[i].forget()
	}
}

// forget removes the person's data. What stays are times, and a hash of the id: a later event about the person must not make a second one.
func (p *Person) forget() {
	if p.State == PersonErased {
		return
	}
	p.maskIDs()
	*p = Person{
		ID: p.ID, Was: p.Was, State: PersonErased, First: p.First, ProviderAt: p.ProviderAt, Opened: p.Opened, SignedAt: p.SignedAt, DeclinedAt: p.DeclinedAt,
		TextParts: p.TextParts, FirstSent: p.FirstSent, Delivered: p.Delivered,
	}
}

// inSpans reports whether a text such as "3,5-8" has the number.
func inSpans(text string, n uint64) bool {
	for span := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(span, "-")
		from, err := strconv.ParseUint(first, 10, 64)
		to := from
		if err == nil && ranged {
			to, err = strconv.ParseUint(last, 10, 64)
		}
		if err == nil && from <= n && n <= to {
			return true
		}
	}
	return false
}
