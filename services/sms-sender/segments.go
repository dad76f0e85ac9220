package smssender

import (
	"strings"
	"unicode/utf8"
)

// gsm7 is the alphabet of GSM 03.38: what a text of type "text" can carry. A character of its extension table is an escape
// and a septet.
const (
	gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" +
		" !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
		"¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsm7Extension = "\f^{}\\[~]|€"
)

// The API's types of a text.
const (
	typeText    = "text"
	typeUnicode = "unicode"
)

// How much goes into one message of 140 bytes: septets of the alphabet, or units of UCS-2. A part of a longer text has 6
// bytes less, which say where it belongs.
const (
	septetsAlone, septetsOfPart = 160, 153
	unitsAlone, unitsOfPart     = 70, 67
)

// segments is the API's type for a text and how many parts the text travels in. Of what is outside the alphabet, type "text"
// makes question marks; type "unicode" holds less than half as much and costs more than twice as much.
func segments(text string) (kind string, parts int) {
	if strings.ContainsFunc(text, func(r rune) bool { return septets(r) == 0 }) {
		return typeUnicode, partsOf(text, units, unitsAlone, unitsOfPart)
	}
	return typeText, partsOf(text, septets, septetsAlone, septetsOfPart)
}

// partsOf counts a text's parts. No character is cut in two: an escape stays with its septet, and a surrogate with its
// other half.
func partsOf(text string, width func(rune) int, alone, ofPart int) int {
	total, parts, room := 0, 1, ofPart
	for _, r := range text {
		w := width(r)
		if total += w; w > room {
			parts, room = parts+1, ofPart
		}
		room -= w
	}
	if total <= alone {
		return 1
	}
	return parts
}

// septets is what a character takes in GSM 03.38; 0 for what it does not have.
func septets(r rune) int {
	switch {
	case r == utf8.RuneError: // the alphabets are searched by bytes, of which this one could be half
		return 0
	case strings.ContainsRune(gsm7, r):
		return 1
	case strings.ContainsRune(gsm7Extension, r):
		return 2
	default:
		return 0
	}
}

// units is what a character takes in UCS-2: two for what is beyond the first 65,536.
func units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}
