package notification

import "strings"

// Digits returns the ASCII digits of a text, such as a phone number in any notation.
func Digits(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, text)
}
