package vonage

import (
	"strings"
	"unicode/utf16"
)

// The GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), and the characters that take two septets because of an escape.
const (
	gsmOne = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwo = "\f^{}\\[~]|€"
)

// The units in a message of one part, and in each part of a longer one, which also has a header. The header counts the parts in one byte.
const (
	gsmAlone, gsmPart = 160, 153 // septets
	ucsAlone, ucsPart = 70, 67   // UTF-16 units
	maxParts          = 255
)

// asReceived returns the text that the phone shows, and the number of parts. With type=text, a character outside the GSM alphabet arrives as
// a question mark, as it does for a sender without type=unicode.
func asReceived(text string, unicode bool) (string, int) {
	if unicode {
		return text, parts(text, ucsAlone, ucsPart, utf16.RuneLen)
	}
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune(gsmOne, r) || strings.ContainsRune(gsmTwo, r) {
			return r
		}
		return '?'
	}, text)
	return text, parts(text, gsmAlone, gsmPart, func(r rune) int {
		if strings.ContainsRune(gsmTwo, r) {
			return 2
		}
		return 1
	})
}

// parts counts the parts of a text. A character of two units is never split.
func parts(text string, alone, part int, cost func(rune) int) int {
	whole := 0
	for _, r := range text {
		whole += cost(r)
	}
	if whole <= alone {
		return 1
	}
	count, room := 1, part
	for _, r := range text {
		c := cost(r)
		if c > room {
			count, room = count+1, part
		}
		room -= c
	}
	return count
}
