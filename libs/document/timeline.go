package document

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// EntryKind is what an entry of the timeline is about: a filter of the page.
type EntryKind string

// The kinds of entries.
const (
	KindCallback EntryKind = "callback" // what the provider reported
	KindMessage  EntryKind = "message"  // a message to a person
	KindClick    EntryKind = "click"    // a link was opened or fetched
	KindProblem  EntryKind = "problem"  // something did not go as it should
	KindOther    EntryKind = "other"    // the rest of what Signrelay and operators did
)

// Entry is an event in the timeline.
type Entry struct {
	Sequence uint64    `json:"sequence,omitempty"` // in the log
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	At       time.Time `json:"at"`              // when it happened
	Stored   time.Time `json:"stored,omitzero"` // when the log stored it
	Kind     EntryKind `json:"kind"`
	Title    string    `json:"title"`            // a sentence without a full stop
	Detail   string    `json:"detail,omitempty"` // beside the title
	// Badge says how the fact was verified: "HMAC", "RSA", "token", "API", "receipt", "not verified"; empty for what Signrelay made.
	Badge string `json:"badge,omitempty"`
	// Lag is the time from the step before, and LagFrom names it: "after it was handed over". Zero if there is no such step.
	Lag     time.Duration `json:"lag,omitempty"`
	LagFrom string        `json:"lag_from,omitempty"`
	Person  int           `json:"person"`           // the index in People, or NoPerson
	Robot   bool          `json:"robot,omitempty"`  // a program, not a person
	Reason  string        `json:"reason,omitempty"` // as in the event
	// ProviderType is the provider's own name of the event.
	ProviderType string `json:"provider_type,omitempty"`
	Message      string `json:"message,omitempty"` // the notification's id
	Channel      string `json:"channel,omitempty"`
	// Text and Subject are the message as it was sent, with "…" instead of the link's code; empty if the document is masked.
	Text      string `json:"text,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Template  string `json:"template,omitempty"`
	Parts     uint32 `json:"parts,omitempty"` // of a text
	Price     string `json:"price,omitempty"` // as the vendor told it
	Reference string `json:"reference,omitempty"`
	// Callback is the id of the provider's request, and Carries is true if this event has its bytes. Key is the setting that verified it.
	Callback string `json:"callback,omitempty"`
	Carries  bool   `json:"carries,omitempty"`
	Key      string `json:"key,omitempty"`
}

// storedAt returns when the log stored an event; the event's own time if that is not known.
func storedAt(s event.Stored) time.Time {
	if s.RawStreamMsg != nil && !s.Time.IsZero() {
		return s.Time.UTC()
	}
	if at := s.Event.GetReceivedAt(); at != nil {
		return at.AsTime()
	}
	return event.Time(s.Event)
}

func (x *explainer) timeline() []Entry {
	all := make([]Entry, 0, len(x.events))
	for _, s := range x.events {
		all = append(all, x.entry(s))
	}
	// A receipt has whole seconds, so it may seem to be older than its message.
	sent := map[string]time.Time{}
	for _, t := range all {
		if t.Type == event.NotificationSent {
			sent[t.Message] = t.At
		}
	}
	place := func(t Entry) time.Time {
		if at := sent[t.Message]; t.Type == event.NotificationDelivered && at.Sub(t.At) < time.Second {
			return latest(t.At, at)
		}
		return t.At
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b Entry) int {
		if c := place(b).Compare(place(a)); c != 0 || a.Message != b.Message || a.Type == b.Type {
			return c
		}
		switch event.NotificationDelivered {
		case a.Type:
			return -1
		case b.Type:
			return 1
		default:
			return 0
		}
	})
	return all
}

func (x *explainer) entry(s event.Stored) Entry {
	e, n := s.Event, s.Event.GetNotice()
	t := Entry{
		ID: e.GetId(), Type: e.GetType(), At: event.Time(e), Badge: badgeOf(e), Person: x.d.Find(e.GetRecipient()), Reason: n.GetReason(),
		ProviderType: e.GetProviderType(), Message: n.GetNotificationId(), Channel: n.GetChannel(), Template: n.GetTemplate(), Price: n.GetPrice(),
		Reference: n.GetReference(), Callback: e.GetCallback().GetId(), Carries: event.Carries(e.GetCallback()), Key: e.GetCallback().GetKey(),
	}
	if s.RawStreamMsg != nil {
		t.Sequence, t.Stored = s.Sequence, s.Time.UTC()
	}
	if n.GetChannel() == smsName {
		t.Parts = n.GetParts()
	}
	if !x.d.IsMasked {
		t.Text, t.Subject = n.GetText(), n.GetSubject()
	}
	switch event.Entity(e.GetType()) {
	case event.EntityNotification:
		x.messageEntry(&t, e)
	case event.EntityLink:
		x.linkEntry(&t, e)
	case event.EntityReminder:
		x.reminderEntry(&t, e)
	default:
		x.factEntry(&t, s)
	}
	return t
}

// badgeOf says how an event was verified. A signed receipt of the SMS vendor verifies what it reports.
func badgeOf(e *signingv1.SigningEvent) string {
	switch e.GetVerification() {
	case signingv1.Verification_VERIFICATION_HMAC:
		return "HMAC"
	case signingv1.Verification_VERIFICATION_RSA:
		return "RSA"
	case signingv1.Verification_VERIFICATION_TOKEN:
		return "token"
	case signingv1.Verification_VERIFICATION_CONFIRMED:
		return "API"
	case signingv1.Verification_VERIFICATION_INTERNAL:
		partly := e.GetAttributes()[attributeParts] != "" // the vendor's response to the request, and no receipt
		if e.GetType() == event.NotificationDelivered || e.GetType() == event.NotificationFailed && e.GetNotice().GetReference() != "" && !partly {
			return "receipt"
		}
		return ""
	default:
		return "not verified"
	}
}

const attributeParts = "parts_refused"

// recipientOf returns to whom a message goes.
func (x *explainer) recipientOf(t *Entry, e *signingv1.SigningEvent) string {
	switch {
	case t.Person >= 0:
		return x.name(t.Person)
	case event.KindNamed(e.GetNotice().GetKind()).Signers:
		return "a signer"
	default:
		return "the sender"
	}
}

func (x *explainer) messageEntry(t *Entry, e *signingv1.SigningEvent) {
	n := e.GetNotice()
	to := x.recipientOf(t, e)
	what := upper(channelWord(n.GetChannel())) + " to " + to
	if n.GetChannel() == "" {
		what = upper(kindWord(n.GetKind())) + " to " + to
	}
	m := x.d.message(t.Person, n.GetNotificationId())
	number := 0
	if m != nil {
		number = m.Number
	}
	t.Detail = numbered(n.GetKind(), number)
	t.Kind = KindMessage
	switch e.GetType() {
	case event.NotificationRequested:
		t.Title = what + " is on its way"
		x.lagFromCause(t, n.GetEventId(), "after its cause")
	case event.NotificationSent:
		t.Title = what + " was handed over"
		x.lag(t, n.GetNotificationId(), event.NotificationRequested, "after it was made")
		if t.Parts > 1 {
			t.Detail += ", " + count(int(t.Parts)) + " parts"
		}
		if n.GetPossibleDuplicate() {
			t.Detail += ", possibly a second time"
		}
		if n.GetChannel() == emailName {
			t.Detail += "; whether it was read is not known"
		}
		if n.GetReason() != "" {
			t.Kind = KindProblem
			t.Detail += "; " + x.because(n.GetReason(), n.GetChannel())
		}
	case event.NotificationDelivered:
		t.Title = what + " was delivered"
		x.lag(t, n.GetNotificationId(), event.NotificationSent, "after it was handed over")
	case event.NotificationDeferred:
		if until := e.GetAttributes()["until"]; until != "" {
			t.Title = what + " waits for its time"
		} else {
			t.Title, t.Kind = what+" is held", KindProblem
		}
		t.Detail += "; " + x.because(n.GetReason(), n.GetChannel())
	case event.NotificationSuppressed:
		t.Title = what + " was not made"
		if x.made(n.GetNotificationId()) {
			t.Title = what + " was not sent"
		}
		if !notNeeded[n.GetReason()] {
			t.Kind = KindProblem
		}
		t.Detail += "; " + x.because(n.GetReason(), n.GetChannel())
	case event.NotificationFailed:
		t.Kind, t.Title = KindProblem, what+" was given up"
		if n.GetReference() != "" {
			t.Title = what + " did not arrive"
			x.lag(t, n.GetNotificationId(), event.NotificationSent, "after it was handed over")
		}
		t.Detail += "; " + x.because(n.GetReason(), n.GetChannel())
	case event.NotificationFallback:
		t.Kind = KindProblem
		to := "by " + channelWord(e.GetAttributes()[attributeTo])
		if e.GetAttributes()[attributeTo] == toSender {
			to = "to the sender: no other channel is left"
		}
		t.Title = upper(kindWord(n.GetKind())) + " for " + x.recipientOf(t, e) + " goes " + to
		t.Detail = x.because(e.GetAttributes()[attributeReason], n.GetChannel())
		if reason := e.GetAttributes()[attributeReason]; reason == "failed" {
			t.Detail = "the " + channelWord(n.GetChannel()) + " did not arrive: " + x.because(n.GetReason(), n.GetChannel())
		}
		t.Reason = e.GetAttributes()[attributeReason]
	default:
		t.Title = what
	}
}

// made reports whether the log has notification.requested of a message.
func (x *explainer) made(id string) bool {
	return slices.ContainsFunc(x.events, func(s event.Stored) bool {
		return s.Event.GetType() == event.NotificationRequested && s.Event.GetNotice().GetNotificationId() == id
	})
}

// lag sets the time since an earlier event of the same message.
func (x *explainer) lag(t *Entry, message, eventType, from string) {
	for _, s := range x.events {
		if s.Event.GetType() == eventType && s.Event.GetNotice().GetNotificationId() == message {
			begin := event.Time(s.Event)
			if eventType == event.NotificationRequested {
				begin = storedAt(s)
			}
			t.setLag(begin, from)
			return
		}
	}
}

// lagFromCause sets the time since the event that caused a message.
func (x *explainer) lagFromCause(t *Entry, cause, from string) {
	if s, ok := x.byID[cause]; ok {
		end := t.Stored
		if end.IsZero() {
			end = t.At
		}
		if d := end.Sub(storedAt(s)); d >= 0 {
			t.Lag, t.LagFrom = d, from
		}
	}
}

func (t *Entry) setLag(begin time.Time, from string) {
	if d := t.At.Sub(begin); d >= 0 {
		t.Lag, t.LagFrom = d, from
	}
}

// message returns a message of a person, or of those without one; nil if the document does not have it.
func (d *Document) message(person int, id string) *Message {
	all := d.Unnamed
	if person >= 0 {
		all = d.People[person].Messages
	}
	if i := slices.IndexFunc(all, func(m Message) bool { return m.ID == id }); i >= 0 {
		return &all[i]
	}
	return nil
}

func (x *explainer) linkEntry(t *Entry, e *signingv1.SigningEvent) {
	whose := "a signer’s link"
	if t.Person >= 0 {
		whose = x.name(t.Person) + "’s link"
	}
	t.Kind = KindClick
	switch {
	case e.GetType() == event.LinkSubstituted:
		t.Kind, t.Title, t.Detail = KindOther, "The message has our own short link", "the outside shortener returned none"
		t.Reason = e.GetAttributes()[attributeReason]
	case e.GetType() == event.LinkFetched && e.GetAttributes()[attributePurpose] == purposeCorrect:
		t.Robot, t.Title, t.Detail = true, "A robot opened the sender’s link for a correction", e.GetAttributes()["client"]
	case e.GetType() == event.LinkFetched:
		t.Robot, t.Title, t.Detail = true, "A robot opened "+whose, "it does not count as opened"
		if client := e.GetAttributes()["client"]; client != "" {
			t.Detail = client + "; " + t.Detail
		}
	case e.GetAttributes()[attributePurpose] == purposeDownload:
		t.Title, t.Detail = "The signed document was fetched by "+whose, ""
	case e.GetAttributes()[attributePurpose] == purposeCorrect:
		t.Title, t.Detail = "The sender opened the link to correct a signer", ""
		if t.Person >= 0 {
			t.Title = "The sender opened the link to correct " + x.name(t.Person)
		}
	default:
		t.Title = "A person opened " + whose
		t.Detail = "a browser fetched it; a robot that calls itself one is possible"
		if e.GetAttributes()["certainty"] == string(Clicked) {
			t.Detail = "the button was pressed"
		}
	}
	if c := e.GetNotice().GetChannel(); c != "" && t.Kind == KindClick {
		t.Detail = strings.TrimPrefix(t.Detail+"; in the "+channelWord(c), "; ")
	}
}

// The purposes of links that do not lead to the signature.
var (
	purposeDownload = notification.PurposeName(notifyv1.Link_PURPOSE_DOWNLOAD) // to the signed document
	purposeCorrect  = notification.PurposeName(notifyv1.Link_PURPOSE_CORRECT)  // of the sender, to correct a person
)

func (x *explainer) reminderEntry(t *Entry, e *signingv1.SigningEvent) {
	t.Kind = KindOther
	number := "Reminder " + cmp.Or(e.GetAttributes()[attributeNumber], "?")
	if n := len(x.facts.ReminderDays); n > 0 {
		number += " of " + count(n)
	}
	who := "a signer"
	if t.Person >= 0 {
		who = x.name(t.Person)
	}
	t.Reason = e.GetAttributes()[attributeReason]
	due, err := time.Parse(time.RFC3339Nano, e.GetAttributes()[attributeDue])
	switch e.GetType() {
	case event.ReminderScheduled:
		t.Title = number + " to " + who + " is scheduled"
		if err == nil {
			t.Detail = "due on " + x.on(due)
		}
	case event.ReminderDue:
		t.Title = number + " to " + who + " was due"
		if invited, err := time.Parse(time.RFC3339Nano, e.GetAttributes()["invited"]); err == nil {
			t.Detail = short(t.At.Sub(invited)) + " after the invitation"
		}
		if e.GetAttributes()["by"] != "" {
			t.Detail = "an operator asked for it"
		}
	case event.ReminderCancelled:
		t.Title = number + " to " + who + " was cancelled"
		t.Detail = cancelWords[t.Reason]
		if t.Detail == "" {
			t.Detail = t.Reason
		}
	}
}

var cancelWords = map[string]string{
	event.OverSigned: "the person has signed", event.OverDeclined: "the person declined", event.OverDocument: "the document has ended",
	event.OverOptedOut: "the person wants no messages", event.OverCorrected: "the person was corrected, and is invited again", "off": "the settings have no reminders", "operator": "an operator cancelled it",
}

// factEntry is the entry of what the provider reported, of what a person did, and of what operators did.
func (x *explainer) factEntry(t *Entry, s event.Stored) {
	e := s.Event
	t.Kind = KindCallback
	if e.GetVerification() == signingv1.Verification_VERIFICATION_INTERNAL {
		t.Kind = KindOther
	} else if e.GetOccurredAt() != nil && e.GetReceivedAt() != nil {
		if d := e.GetReceivedAt().AsTime().Sub(t.At); d >= 0 {
			t.Lag, t.LagFrom = d, "from "+x.provider()+"’s time to ours"
		}
	}
	who := "A signer"
	if t.Person >= 0 {
		who = x.name(t.Person)
	}
	switch e.GetType() {
	case event.DocumentUpdated:
		t.Title, t.Detail = "A second report has more data", "it adds to an earlier event"
	case event.DocumentErased:
		t.Title = "The document was erased"
		if e.GetAttributes()["scope"] == "person" {
			t.Title = "A person was erased from the document"
		}
	case event.DocumentArchived:
		f := e.GetFile()
		t.Title = fileWords[f.GetKind()] + " was archived"
		if t.Title == " was archived" {
			t.Title = "A file was archived"
		}
		t.Detail = strconv.FormatUint((f.GetSize()+1023)/1024, 10) + " KB"
	case event.DocumentDeclined, event.RecipientDeclined:
		t.Kind = KindProblem
	case event.RecipientUndeliverable:
		t.Kind = KindProblem
	case event.RecipientOptedOut:
		t.Detail = "from all messages about the document"
		if e.GetAttributes()[attributeChannel] == smsName {
			t.Detail = "from texts, by a reply"
		}
	case event.RecipientReplied:
		t.Detail = "with other words than STOP and START"
	case event.ReplayRequested:
		t.Title, t.Detail, t.Reason = "An operator replayed a dead letter", "of the stage "+e.GetAttributes()["stage"], e.GetAttributes()[attributeReason]
	case event.OperatorActed:
		t.Reason = e.GetAttributes()[event.AttributeAction]
		t.Title = ActionWords(t.Reason)
	case event.ResendRequested, event.RecipientResent, event.ResendRefused, event.CorrectionRequested, event.RecipientCorrected, event.CorrectionRefused:
		x.orderEntry(t, e, who)
	case event.OtherRecorded:
		t.Title, t.Detail = upper(x.provider())+" reported something else", e.GetProviderType()
	}
	if t.Title == "" {
		t.Title = strings.ReplaceAll(strings.ReplaceAll(cmp.Or(factWords[e.GetType()], event.Meaning(e.GetType())), "{who}", who), "{provider}", x.provider())
		t.Title = upper(t.Title)
	}
}

var fileWords = map[string]string{"original": "The file as it was sent", "signed": "The signed file", "certificate": "The certificate"}

// factWords are the titles of facts.
var factWords = map[string]string{
	event.DocumentCreated: "{provider} has the document", event.DocumentSent: "The document was sent", event.DocumentFilled: "All fields are filled in",
	event.DocumentCompleted: "All signers have signed", event.DocumentDeclined: "The document was declined", event.DocumentVoided: "The sender withdrew the document",
	event.DocumentExpired: "The time to sign is over", event.DocumentHeld: "An operator put the document under a legal hold",
	event.DocumentReleased: "An operator ended the legal hold", event.RecipientQueued: "{provider} sends the document to {who} later",
	event.RecipientSent: "{provider} sent the document to {who}", event.RecipientOpened: "{who} opened the message or the document",
	event.RecipientDisplayed: "The agreement was shown to {who}", event.RecipientFilled: "{who} filled in fields",
	event.RecipientAgreed: "{who} accepted the agreement", event.RecipientAwaitingWitness: "{who} signed, and a witness has not yet",
	event.RecipientSigned: "{who} signed", event.RecipientDownloaded: "{who} fetched the signed document", event.RecipientDeclined: "{who} declined",
	event.RecipientUndeliverable: "{provider} could not reach {who}", event.RecipientOptedOut: "{who} opted out", event.RecipientOptedIn: "{who} wants messages again",
	event.RecipientReplied: "{who} replied to a text",
}

// actionWords say what operator.acted is about.
var actionWords = map[string]string{
	"look": "Looked at names and texts", "refused-erase": "Tried to erase without the role, which was refused",
	event.ActionCancelReminders: "Cancelled reminders", "archive": "Archived the files again", "drop": "Dropped a dead letter",
	"release": "Released a held message", "release-channels": "Released the held messages of a channel", "drop-callbacks": "Dropped a callback",
	"remind-now": "Made a reminder due at once", "reconcile": "Asked for a reconciliation",
}

// ActionWords says what an operator did, for the action of operator.acted.
func ActionWords(action string) string {
	if words := actionWords[action]; words != "" {
		return words
	}
	return "Did: " + action
}

// ProviderName returns the name of a provider for the reader; its id if it is not known.
func ProviderName(provider string) string { return cmp.Or(providerNames[provider], provider) }

// MessageWord returns how a page calls a kind of message: "reminder 2", "invitation".
func MessageWord(kind string, number int) string { return numbered(kind, number) }

// ChannelWord returns how a page calls the message of a channel: "text".
func ChannelWord(channel string) string { return channelWord(channel) }
