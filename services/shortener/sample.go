package shortener

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// bitlyCode is the length of Bitly's own codes.
const bitlyCode = 7

// Sample returns a short link of the length that the settings produce.
func Sample(s shortenersettings.Shortener) string {
	switch s.Kind {
	case "bitly":
		return "https://" + s.Bitly.Domain + "/" + strings.Repeat("x", bitlyCode)
	case "rebrandly":
		return "https://" + s.Rebrandly.Domain + "/" + strings.Repeat("x", codeLength)
	}
	base := "https://sign.example.com/l/"
	if ours, err := notification.NewLinks(s.PublicURL, s.Domain()); err == nil {
		base = ours.Base()
	}
	return base + strings.Repeat("x", codeLength) + suffixOf(event.SMS)
}
