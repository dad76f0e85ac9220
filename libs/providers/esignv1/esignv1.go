// Package esignv1 is the pack of the eSignature API v1 (Legalesign), provider "esign-v1": a batch of status changes every six minutes, signed
// with RSA; a callback when a document is signed; and the REST API, whose signing links open once.
package esignv1

import (
	"embed"
	"net/http"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Name is the provider's name in settings, URLs and subjects.
const Name = "esign-v1"

// The two callbacks: a batch of all changes every six minutes, and one callback when a document is signed.
const (
	routeAll    = "/all"
	routeSigned = "/signed"
)

// The provider documents a posted dictionary without its encoding, so both encodings of forms are accepted.
var forms = []string{"application/x-www-form-urlencoded", "multipart/form-data"}

// Pack is the definition of the provider esign-v1.
var Pack = pack.Pack{
	Name:     Name,
	Settings: Settings,
	Routes: []pack.Route{
		{Path: routeAll, Methods: []string{http.MethodPost}, ContentTypes: forms},
		{Path: routeSigned, Methods: []string{http.MethodPost}, ContentTypes: forms},
	},
	Webhook:          newWebhook,
	API:              newAPI,
	PerMinute:        100, // the limit of trial accounts; other limits are not published
	Sign:             sign,
	Test:             test,
	Unverified:       unverified,
	SignatureHeaders: []string{signedHeader},
	Samples:          pack.Recordings(recordings),
}

//go:embed testdata/*.http
var recordings embed.FS
