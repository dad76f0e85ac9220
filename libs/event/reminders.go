package event

import "slices"

// The events with which reminders to a person begin and end.
var (
	// remindersBegin: the person got the document from the provider, or a message of Signrelay.
	remindersBegin = []string{RecipientSent, NotificationSent}
	// remindersEnd: the person, or the document, does not wait for a signature any more, or the person does not want to be reminded.
	remindersEnd = []string{
		DocumentCompleted, DocumentDeclined, DocumentVoided, DocumentExpired, RecipientSigned, RecipientDeclined, RecipientOptedOut,
		RecipientCorrected, // reminders to the person as corrected begin with the new invitation
		OperatorActed,      // only with the action ActionCancelReminders
	}
)

// The attributes of an operator's order.
const (
	AttributeAction   = "action"   // of operator.acted
	AttributeChannels = "channels" // of resend.requested: names with a comma between them

	// ActionCancelReminders is the action of operator.acted that ends the reminders of its person, or of all people of its document.
	ActionCancelReminders = "cancel-reminders"
)

// messagesArrive are the types of the events after which a message may go to another channel, or with which its time to arrive begins or ends.
var messagesArrive = []string{NotificationSent, NotificationDelivered, NotificationFailed, NotificationSuppressed}

// TypesOfReminders returns the types of the events with which reminders to a person begin or end, and of those that tell whether a message
// arrived, in the order of Types.
func TypesOfReminders() []string {
	var names []string
	for _, t := range Types {
		if BeginsReminders(t.Name) || EndsReminders(t.Name) || slices.Contains(messagesArrive, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// BeginsReminders reports whether reminders to a person may begin with an event of that type.
func BeginsReminders(eventType string) bool { return slices.Contains(remindersBegin, eventType) }

// EndsReminders reports whether reminders to a person, or to all people of a document, end with an event of that type.
func EndsReminders(eventType string) bool { return slices.Contains(remindersEnd, eventType) }
