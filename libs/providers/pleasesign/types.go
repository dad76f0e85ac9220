package pleasesign

// kind is what one of PleaseSign's events means.
type kind struct {
	canonical string
	dates     []string // the fields that tell when it happened; the first that can be read
}

// types maps PleaseSign's event to its meaning; what is not here is other.recorded. Dummy events were seen to say
// created_date where real ones say processed_date.
var types = map[string]kind{
	"document.created":  {"document.sent", []string{"processed_date", "created_date"}},
	"document.void":     {"document.declined", []string{"void_date"}},
	"document.complete": {"document.completed", []string{"complete_date"}},

	"recipient.sent":     {"recipient.sent", []string{"sent_date"}},
	"recipient.failed":   {"recipient.undeliverable", []string{"failed_date"}},
	"recipient.opened":   {"recipient.opened", []string{"opened_date"}},
	"recipient.complete": {"recipient.signed", []string{"complete_date"}},

	"test":         {tested, nil},
	"webhook.test": {tested, nil},
}

const (
	tested   = "endpoint.tested"
	recorded = "other.recorded"
)

// links are the fields of document.complete that hold addresses.
var links = []string{"original", "signed", "certificate"}
