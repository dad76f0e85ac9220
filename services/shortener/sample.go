package shortener

import (
	"strings"

	"github.com/signrelay/signrelay/libs/config"
)

// bitlyCode is how many characters Bitly's own codes have.
const bitlyCode = 7

// Sample is a short link that is as long as those that the settings make.
func Sample(s config.Shortener) string {
	switch s.Kind {
	case "bitly":
		return "https://" + s.Bitly.Domain + "/" + strings.Repeat("x", bitlyCode)
	case "rebrandly":
		return "https://" + s.Rebrandly.Domain + "/" + strings.Repeat("x", codeLength)
	}
	base, err := linkBase(s.PublicURL)
	if err != nil {
		base = "https://sign.example.com/l/"
	}
	return base + strings.Repeat("x", codeLength) + suffixSMS
}
