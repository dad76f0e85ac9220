package clickwrap

// types maps Clickwrap's event_type to the canonical type. The Activity API takes any word as an activity, so there is
// no end to activity_*; what is not here is other.recorded.
var types = map[string]string{
	"request_sent":     "document.sent",
	"request_signed":   "recipient.signed",
	"request_complete": "document.completed",
	"request_expired":  "document.expired",

	"activity_sent":      "recipient.sent",
	"activity_visited":   "recipient.opened",
	"activity_displayed": "recipient.displayed",
	"activity_updated":   "recipient.filled",
	"activity_agreed":    "recipient.agreed",
	"activity_disagreed": "recipient.declined",

	"version_published": "agreement.published",
	"group_published":   "agreement.published",

	"test_event": "endpoint.tested",
}
