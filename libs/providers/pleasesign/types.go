package pleasesign

import "github.com/signrelay/signrelay/libs/event"

// kind is the meaning of a PleaseSign event.
type kind struct {
	canonical string
	dates     []string // the fields with the event's time; the first readable one counts
}

// types maps PleaseSign's events to their meaning; any other event is other.recorded. Dummy events were seen with created_date where real ones
// have processed_date.
var types = map[string]kind{
	"document.created":  {event.DocumentSent, []string{"processed_date", "created_date"}},
	"document.void":     {event.DocumentDeclined, []string{"void_date"}},
	"document.complete": {event.DocumentCompleted, []string{"complete_date"}},

	"recipient.sent":     {event.RecipientSent, []string{"sent_date"}},
	"recipient.failed":   {event.RecipientUndeliverable, []string{"failed_date"}},
	"recipient.opened":   {event.RecipientOpened, []string{"opened_date"}},
	"recipient.complete": {event.RecipientSigned, []string{"complete_date"}},

	"test":         {event.EndpointTested, nil},
	"webhook.test": {event.EndpointTested, nil},
}

// links are the fields of document.complete that contain addresses.
var links = []string{"original", "signed", "certificate"}
