// Package clickwrap is the pack of Ironclad Clickwrap, formerly PactSafe: webhooks with a shared token in a header, and
// the REST API v1.1.
package clickwrap

import (
	"embed"
	"net/http"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Name is the provider's name in settings, URLs and subjects.
const Name = "clickwrap"

// Pack is the definition of the provider Clickwrap.
var Pack = pack.Pack{
	Name:     Name,
	Settings: Settings,
	// The operator configures in Clickwrap whether it calls with POST (JSON) or GET (the fields in the query).
	Routes: []pack.Route{{
		Path:         "",
		Methods:      []string{http.MethodPost, http.MethodGet},
		ContentTypes: []string{"application/json"},
	}},
	Webhook:   newWebhook,
	API:       newAPI,
	PerMinute: 2000, // of one access token
	Sign:      sign,
	Test:      test,
	Paste:     paste,
	Delivery:  []string{"type", "integration", "sent_to", "deliverable", "updated_time"},
	Samples:   pack.Recordings(recordings),
}

//go:embed testdata/*.http
var recordings embed.FS
