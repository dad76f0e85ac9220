package vonage

import (
	"strings"
	"unicode/utf16"
)

// The GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), and what costs two septets in it because of an escape.
const (
	gsmOne = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwo = "\f^{}\\[~]|€"
)

// How many units one message holds alone, and a part of several: the difference is the header that joins them. It
// counts parts in one byte.
const (
	gsmAlone, gsmPart = 160, 153 // septets
	ucsAlone, ucsPart = 70, 67   // UTF-16 units
	maxParts          = 255
)

// asReceived is the text as the phone shows it, and in how many parts it went. As type=text, what is outside the GSM
// alphabet arrives as a question mark: that is what a sender sees who forgot type=unicode.
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

// parts counts the parts of text; a character of two units is never cut in half.
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
