package pleasesign

import "github.com/signrelay/signrelay/libs/event"

// kind is what one of PleaseSign's events means.
type kind struct {
	canonical string
	dates     []string // the fields that tell when it happened; the first that can be read
}

// types maps PleaseSign's event to its meaning; what is not here is other.recorded. Dummy events were seen to say
// created_date where real ones say processed_date.
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

// links are the fields of document.complete that hold addresses.
var links = []string{"original", "signed", "certificate"}
