package clickwrap

import "github.com/signrelay/signrelay/libs/event"

// types maps Clickwrap's event_type to the canonical type. The Activity API accepts any word as an activity, so the set of activity_* types is
// open; any other type is other.recorded.
var types = map[string]string{
	"request_sent":     event.DocumentSent,
	"request_signed":   event.RecipientSigned,
	"request_complete": event.DocumentCompleted,
	"request_expired":  event.DocumentExpired,

	"activity_sent":      event.RecipientSent,
	"activity_visited":   event.RecipientOpened,
	"activity_displayed": event.RecipientDisplayed,
	"activity_updated":   event.RecipientFilled,
	"activity_agreed":    event.RecipientAgreed,
	"activity_disagreed": event.RecipientDeclined,

	"version_published": event.AgreementPublished,
	"group_published":   event.AgreementPublished,

	"test_event": event.EndpointTested,
}
