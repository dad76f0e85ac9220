package event

import (
	"slices"
	"strings"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Kind is a kind of message to people: which events lead to it, and its subject.
type Kind struct {
	Kind  notifyv1.Kind
	After []string // the types of the events that it may follow from, sorted
	// Occasion is the type of the fact that the message reports. Two events that report one fact make one message. If it is empty, each
	// event makes its own message.
	Occasion string
	Signers  bool                  // the message is for signers: it waits until the signers are known
	Link     notifyv1.Link_Purpose // the purpose of the signers' link; unspecified if the message has no link
	Asks     bool                  // the message asks its person to sign: it is obsolete when the document does not wait for the person any more
	// Corrects is true if the message to the sender may have a link to the page on which he corrects the person. Only the link's message needs one.
	Corrects bool
	Open     bool // the message is about a document that is not complete: it is obsolete when the document has ended
	// Replies is true if the message responds to a person's own text. The SMS sender makes it from the text, so that no event makes it a second
	// time. An opt-out does not stop it, and it does not wait for the morning: the person has just written.
	Replies bool
}

// Kinds lists the kinds of messages and the events that cause them. The order is that of the messages that follow from one event.
var Kinds = []Kind{
	{
		Kind: notifyv1.Kind_KIND_PROGRESS, After: []string{RecipientSigned},
		Occasion: RecipientSigned, Signers: true, Open: true,
	},
	{
		Kind: notifyv1.Kind_KIND_INVITATION, After: []string{DocumentCreated, DocumentSent, NotificationFallback, RecipientCorrected, RecipientSigned, ResendRequested},
		Occasion: DocumentSent, Signers: true, Link: notifyv1.Link_PURPOSE_SIGN, Asks: true,
	},
	{
		Kind: notifyv1.Kind_KIND_REMINDER, After: []string{NotificationFallback, ReminderDue},
		Signers: true, Link: notifyv1.Link_PURPOSE_SIGN, Asks: true,
	},
	{
		Kind: notifyv1.Kind_KIND_COMPLETED, After: []string{DocumentCompleted},
		Signers: true, Link: notifyv1.Link_PURPOSE_DOWNLOAD,
	},
	{Kind: notifyv1.Kind_KIND_DECLINED, After: []string{DocumentDeclined, RecipientDeclined}, Occasion: DocumentDeclined},
	{Kind: notifyv1.Kind_KIND_VOIDED, After: []string{DocumentVoided}},
	{Kind: notifyv1.Kind_KIND_EXPIRED, After: []string{DocumentExpired}, Occasion: DocumentExpired},
	{
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, After: []string{NotificationFallback, RecipientUndeliverable},
		Occasion: RecipientUndeliverable, Corrects: true,
	},
	{Kind: notifyv1.Kind_KIND_STOPPED, After: []string{RecipientOptedOut}, Replies: true},
	{Kind: notifyv1.Kind_KIND_STARTED, After: []string{RecipientOptedIn}, Replies: true},
	{Kind: notifyv1.Kind_KIND_HELP, After: []string{RecipientReplied}, Replies: true},
}

// KindOf returns a kind's row. For a kind without a row, such as one of a later release, it returns an empty row.
func KindOf(kind notifyv1.Kind) Kind {
	if i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Kind == kind }); i >= 0 {
		return Kinds[i]
	}
	return Kind{Kind: kind}
}

// KindNamed returns the row of the kind with this name. For a name without a row it returns an empty row.
func KindNamed(name string) Kind {
	if i := slices.IndexFunc(Kinds, func(k Kind) bool { return KindName(k.Kind) == name }); i >= 0 {
		return Kinds[i]
	}
	return Kind{}
}

// KindsAfter returns the kinds of messages that an event of a type may cause, without replies: the SMS sender makes those.
func KindsAfter(eventType string) []notifyv1.Kind {
	var kinds []notifyv1.Kind
	for _, k := range Kinds {
		if !k.Replies && slices.Contains(k.After, eventType) {
			kinds = append(kinds, k.Kind)
		}
	}
	return kinds
}

// TypesWithMessages returns the types of the events that may cause a message, in the order of Types.
func TypesWithMessages() []string {
	var names []string
	for _, t := range Types {
		if len(KindsAfter(t.Name)) > 0 {
			names = append(names, t.Name)
		}
	}
	return names
}

// KindName returns a kind's name in settings, templates, events and metrics: "invitation".
func KindName(k notifyv1.Kind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "KIND_"))
}

// KindNames returns the names of all kinds, in the order of the contract.
func KindNames() []string {
	kinds := slices.Clone(Kinds)
	slices.SortFunc(kinds, func(a, b Kind) int { return int(a.Kind - b.Kind) })
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = KindName(k.Kind)
	}
	return names
}
