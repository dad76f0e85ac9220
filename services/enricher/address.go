package enricher

import (
	"net/mail"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// e164 is a free-text number as "+13175551234", or empty where it is none. Numbers without a country code are the
// region's. It asks for a possible number and not for a valid one: the tables of assigned numbers in a library age, and a
// new one must not be cut off.
func e164(number, region string) string {
	parsed, err := phonenumbers.Parse(number, region)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(parsed) != phonenumbers.IS_POSSIBLE {
		return ""
	}
	return phonenumbers.Format(parsed, phonenumbers.E164)
}

// bareAddress is an e-mail address and nothing else (no display name, no list), or empty where it is none.
func bareAddress(email string) string {
	email = strings.TrimSpace(email)
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email {
		return ""
	}
	return email
}
