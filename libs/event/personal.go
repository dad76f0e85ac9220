package event

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
)

// Public returns the form of an id that may appear outside a payload: in subjects, headers, keys and listings. It is the id, or its hash if
// the id looks like an e-mail address, a phone number or a name. Providers let their customers choose ids.
func Public(id string) string {
	if personal(id) {
		return hashed(id)
	}
	return id
}

// hashed returns the base64url of an id's SHA-256, 43 characters.
func hashed(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// An international number has at most 15 digits (E.164). Providers' ids that consist of digits have fewer than 10 or more than 15.
const (
	fewestDigits, mostDigits = 10, 15
	fewestAfterPlus          = 8
)

// personal reports whether an id looks like an e-mail address, a phone number or a name.
func personal(id string) bool {
	digits, number := 0, true
	for i, r := range id {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '@' || r == '＠' || r == '%' && strings.HasPrefix(id[i:], "%40"):
			return true
		case !strings.ContainsRune(" .-()/+", r):
			number = false
		}
		if r == '+' && digitsIn(id[i+1:]) >= fewestAfterPlus {
			return true
		}
	}
	return number && digits >= fewestDigits && digits <= mostDigits || strings.HasPrefix(id, "tel:") || strings.HasPrefix(id, "sms:") ||
		strings.Contains(id, " ") && nameLike.MatchString(id)
}

// nameLike matches two words with a space between them, as in a name.
var nameLike = regexp.MustCompile(`\pL{2,} \pL{2,}`)

// digitsIn counts the digits at the beginning of a text. Spaces and punctuation may separate them.
func digitsIn(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			n++
		case !strings.ContainsRune(" .-()/", r):
			return n
		}
	}
	return n
}
