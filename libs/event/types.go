package event

import (
	"slices"
	"strings"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The canonical types, as in SigningEvent.type, subjects and ce-type. Types has the meaning of each.
const (
	DocumentCreated   = "document.created"
	DocumentSent      = "document.sent"
	DocumentFilled    = "document.filled"
	DocumentCompleted = "document.completed"
	DocumentDeclined  = "document.declined"
	DocumentVoided    = "document.voided"
	DocumentExpired   = "document.expired"
	DocumentUpdated   = "document.updated"
	DocumentErased    = "document.erased"
	DocumentHeld      = "document.held"
	DocumentReleased  = "document.released"
	DocumentArchived  = "document.archived"

	RecipientQueued          = "recipient.queued"
	RecipientSent            = "recipient.sent"
	RecipientOpened          = "recipient.opened"
	RecipientDisplayed       = "recipient.displayed"
	RecipientFilled          = "recipient.filled"
	RecipientAgreed          = "recipient.agreed"
	RecipientAwaitingWitness = "recipient.awaiting-witness"
	RecipientSigned          = "recipient.signed"
	RecipientDownloaded      = "recipient.downloaded"
	RecipientDeclined        = "recipient.declined"
	RecipientUndeliverable   = "recipient.undeliverable"
	RecipientOptedOut        = "recipient.opted-out"
	RecipientOptedIn         = "recipient.opted-in"
	RecipientReplied         = "recipient.replied"
	RecipientCorrected       = "recipient.corrected"
	RecipientResent          = "recipient.resent"

	AgreementPublished = "agreement.published"
	EndpointTested     = "endpoint.tested"
	OtherRecorded      = "other.recorded"

	NotificationRequested  = "notification.requested"
	NotificationSuppressed = "notification.suppressed"
	NotificationDeferred   = "notification.deferred"
	NotificationSent       = "notification.sent"
	NotificationDelivered  = "notification.delivered"
	NotificationFailed     = "notification.failed"
	NotificationFallback   = "notification.fallback"

	LinkOpened      = "link.opened"
	LinkFetched     = "link.fetched"
	LinkSubstituted = "link.substituted"

	ReminderScheduled = "reminder.scheduled"
	ReminderDue       = "reminder.due"
	ReminderCancelled = "reminder.cancelled"

	CorrectionRequested = "correction.requested"
	CorrectionRefused   = "correction.refused"
	ResendRequested     = "resend.requested"
	ResendRefused       = "resend.refused"
	ReplayRequested     = "replay.requested"
	OperatorActed       = "operator.acted"
)

// The entities that code uses without an action: the first halves of types.
const (
	entityDocument     = "document"
	EntityRecipient    = "recipient"
	EntityNotification = "notification"
	EntityLink         = "link"
	EntityReminder     = "reminder"
)

// Type is a canonical type of event.
type Type struct {
	Name string // "<entity>.<action>", a constant of this package
	// Once is true for a type that occurs only once in each sending, for a document or for a person on it.
	Once    bool
	Meaning string // one sentence; docs/asyncapi.yaml has the same
}

// Entity returns the subject of the event: "document".
func (t Type) Entity() string { return Entity(t.Name) }

// Action returns the second half of the type: "sent".
func (t Type) Action() string { return t.Name[len(t.Entity())+1:] }

// Types lists every type that an event in the log can have, the providers' types before our own.
var Types = []Type{
	{DocumentCreated, false, "The provider has the document, and has not sent it to any person yet."},
	{DocumentSent, true, "The document was sent to be signed."},
	{DocumentFilled, false, "All fields of the document are filled in."},
	{DocumentCompleted, true, "Everybody has signed."},
	{DocumentDeclined, true, "The document is closed because a person declined it."},
	{DocumentVoided, true, "The sender has withdrawn the document."},
	{DocumentExpired, true, "The time to sign is over."},
	{DocumentUpdated, false, "A second report of a fact has data that the first did not have; the attribute signrelay.updates is the id of the event that it adds to."},
	{DocumentErased, false, "An operator or a retention period removed a document, or a person from a document; document.id is not its id but the hash by which teams find it, and attributes.sequences are the places of the removed events in the log."},
	{DocumentHeld, false, "An operator put a document under a legal hold: it is not erased, and its events are kept beyond the age of the log."},
	{DocumentReleased, false, "An operator ended the legal hold of a document."},
	{DocumentArchived, false, "Signrelay has stored a file of the completed document in the operator's archive; file has its kind, size, hash and key."},

	{RecipientQueued, false, "The provider will send the document to the person later."},
	{RecipientSent, false, "The provider has sent the document to the person."},
	{RecipientOpened, false, "The person has opened the message or the document."},
	{RecipientDisplayed, false, "The agreement was shown to the person."},
	{RecipientFilled, false, "The person has filled in fields."},
	{RecipientAgreed, false, "The person has accepted the agreement."},
	{RecipientAwaitingWitness, false, "The person has signed, and a witness has not yet."},
	{RecipientSigned, true, "The person has signed."},
	{RecipientDownloaded, false, "The person has fetched the signed document."},
	{RecipientDeclined, true, "The person has declined to sign."},
	{RecipientUndeliverable, false, "The provider could not reach the person."},

	{RecipientOptedOut, false, "The person does not want messages any more, by a reply to a text or on the page of a short link; attributes.channel says which messages."},
	{RecipientOptedIn, false, "The person wants messages again, after an opt-out."},
	{RecipientReplied, false, "The person replied to a text with other words than an opt-out or its opposite."},
	{RecipientCorrected, false, "The person's name or addresses were corrected; recipient has the person as corrected, attributes.previous the provider's id before, if it has changed, and attributes.scope says whether the provider has the correction, too."},
	{RecipientResent, false, "The provider has sent its own message to the person once more, because Signrelay asked for it; attributes.order is the id of the order."},

	{AgreementPublished, false, "A version of an agreement, or a group of agreements, was published."},
	{EndpointTested, false, "The provider has tested its webhook."},
	{OtherRecorded, false, "An event without a canonical type; providerType has the provider's name for it."},

	{NotificationRequested, false, "Signrelay has made a message to a person, and it is on its way."},
	{NotificationSuppressed, false, "A message to a person was not made; notice.reason says why."},
	{NotificationDeferred, false, "A message waits: until attributes.until, because of quiet hours or its person's daily limit, or until the operator has fixed an account or a setting, or has released a message beyond a limit; notice.reason has the cause."},
	{NotificationSent, false, "The outside provider (Vonage, the mail server) has accepted the message."},
	{NotificationDelivered, false, "A delivery receipt reports that the message has arrived."},
	{NotificationFailed, false, "Sending has failed permanently, or a receipt reports that the message will not arrive; notice.reason says why."},
	{NotificationFallback, false, "An invitation or reminder did not arrive on one channel, and goes to the person's other channel, or to the sender of the document; attributes.reason says why."},

	{LinkOpened, false, "A person has opened our short link; attributes.certainty says how certain that is, and notice.channel which message had the link."},
	{LinkFetched, false, "A program fetched our short link and was not redirected; attributes.client has the kind of program. It does not report an action of a person."},
	{LinkSubstituted, false, "A message carries our own short link, because the outside shortener returned none; attributes.reason says why."},

	{ReminderScheduled, false, "A reminder to a person who has not signed is scheduled; occurredAt says when it was scheduled, and attributes.due when it is due."},
	{ReminderDue, false, "A reminder to a person is due; the messages that follow from it have its id as their cause."},
	{ReminderCancelled, false, "A scheduled reminder will not be made; attributes.reason says why."},

	{CorrectionRequested, false, "The sender or an operator asked for a correction of a person's name or addresses; recipient has them as they should be, and attributes.by and attributes.reason say who asked and why."},
	{CorrectionRefused, false, "A requested correction was not made; attributes.reason says why, and attributes.message has the provider's explanation, if there is one."},
	{ReplayRequested, false, "An operator sent a dead letter back to its stage, or a kept callback back to ingest; later events report the outcome."},
	{ResendRequested, false, "The sender or an operator asked for a person's invitation once more; attributes.channels says on which channels, and later events report the outcome."},
	{ResendRefused, false, "The provider did not send its own message once more; attributes.reason says why, and attributes.message has the provider's explanation, if there is one."},
	{OperatorActed, false, "An operator acted through a plan, in a way that no other event reports; attributes.action says what was done, and attributes.by, attributes.reason and attributes.plan by whom, why and by which plan."},
}

// Meaning returns the sentence of the vocabulary for a type, without the remarks for programs that follow a colon or semicolon. An unknown type is
// its own meaning.
func Meaning(eventType string) string {
	i := slices.IndexFunc(Types, func(t Type) bool { return t.Name == eventType })
	if i < 0 {
		return eventType
	}
	sentence, _, _ := strings.Cut(Types[i].Meaning, ";")
	sentence, _, _ = strings.Cut(sentence, ":")
	return strings.TrimSuffix(sentence, ".")
}

// TypesOfReports returns the types of the facts that providers report on request.
func TypesOfReports() []string {
	return []string{DocumentCreated, DocumentSent, DocumentCompleted, DocumentDeclined, DocumentVoided, RecipientSigned, RecipientDeclined}
}

// once maps each type that happens once to its entity.
var once = func() map[string]string {
	entities := make(map[string]string)
	for _, t := range Types {
		if t.Once {
			entities[t.Name] = t.Entity()
		}
	}
	return entities
}()

// Entity returns the first half of a type's name.
func Entity(eventType string) string {
	entity, _, _ := strings.Cut(eventType, ".")
	return entity
}

// HappensOnce reports whether e is a transition that happens only once in each sending, so that its type, document and person identify it. It
// returns false for a callback about a recipient that does not identify the recipient, because two people's signatures must not become one
// event.
func HappensOnce(e *signingv1.SigningEvent) bool {
	switch once[e.GetType()] {
	case "":
		return false
	case EntityRecipient:
		return e.GetRecipient().GetId() != ""
	default:
		return e.GetDocument().GetId() != ""
	}
}
