// Package pleasesign is the pack of PleaseSign: webhooks signed with HMAC-SHA256.
package pleasesign

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Name is the provider's name in settings, URLs and subjects.
const Name = "pleasesign"

// Pack is everything about PleaseSign.
var Pack = pack.Pack{
	Name: Name,
	Doors: []pack.Door{{
		Path:         "",
		Methods:      []string{http.MethodPost},
		ContentTypes: []string{"application/json"},
	}},
	Webhook: newWebhook,
	Sign:    sign,
	Samples: samples(),
}

//go:embed testdata/*.http
var recordings embed.FS

func samples() fs.FS {
	// Sub fails on an illegal path only, and this is none.
	sub, _ := fs.Sub(recordings, "testdata")
	return sub
}
