// Package pleasesign is the pack of PleaseSign: webhooks signed with HMAC-SHA256, and the REST API, which creates signing links on
// request.
package pleasesign

import (
	"embed"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Name is the provider's name in settings, URLs and subjects.
const Name = "pleasesign"

// Pack is the definition of the provider PleaseSign.
var Pack = pack.Pack{
	Name:     Name,
	Settings: Settings,
	Routes: []pack.Route{{
		Path:         "",
		Methods:      []string{http.MethodPost},
		ContentTypes: []string{"application/json"},
	}},
	Webhook:          newWebhook,
	API:              newAPI,
	OAuth:            application,
	Corrects:         &corrects,
	ResendEvery:      30 * time.Minute,
	PerMinute:        300, // Signrelay's choice: PleaseSign publishes no limit
	Sign:             sign,
	Test:             test,
	SignatureHeaders: []string{signatureHeader},
	Samples:          pack.Recordings(recordings),
}

//go:embed testdata/*.http
var recordings embed.FS
