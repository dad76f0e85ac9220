// Package gsm7 has the alphabet of text messages (GSM 03.38), and counts the parts of a text.
package gsm7

import (
	"strings"
	"unicode/utf8"
)

// The alphabet. A character of its extension table takes an escape and a septet.
const (
	alphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" +
		" !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
		"¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "\f^{}\\[~]|€"
)

// The capacity of one message of 140 bytes: septets of the alphabet, or units of UCS-2. A part of a longer text has 6 bytes less, because it
// needs a header with its number.
const (
	septetsAlone, septetsOfPart = 160, 153
	unitsAlone, unitsOfPart     = 70, 67
)

// Parts returns the number of a text's parts, and whether it is sent as UCS-2 because the alphabet lacks one of its characters. A UCS-2
// message holds less than half as many characters, so the text costs more than twice as much.
func Parts(text string) (parts int, unicode bool) {
	if strings.ContainsFunc(text, outside) {
		return partsOf(text, units, unitsAlone, unitsOfPart), true
	}
	return partsOf(text, septets, septetsAlone, septetsOfPart), false
}

// PartAt returns the part of a text, from 1, that contains the character at a byte offset.
func PartAt(text string, at int) int {
	parts, unicode := Parts(text)
	width, ofPart := septets, septetsOfPart
	if unicode {
		width, ofPart = units, unitsOfPart
	}
	part, room := 1, ofPart
	for i, r := range text {
		w := width(r)
		if w > room {
			part, room = part+1, ofPart
		}
		if room -= w; i >= at {
			break
		}
	}
	return min(part, parts) // a text of a single part has more room
}

// Outside returns the characters of a text that the alphabet lacks, each once, in their order.
func Outside(text string) string {
	var found strings.Builder
	for _, r := range text {
		if outside(r) && !strings.ContainsRune(found.String(), r) {
			found.WriteRune(r)
		}
	}
	return found.String()
}

func outside(r rune) bool { return septets(r) == 0 }

// partsOf counts a text's parts. No character is split: an escape stays with its septet, and a surrogate with its other half.
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

// septets returns the number of septets that a character takes in the alphabet; 0 if the alphabet lacks it.
func septets(r rune) int {
	switch {
	case r == utf8.RuneError: // the tables are searched by bytes, and this rune would match a partial character
		return 0
	case strings.ContainsRune(alphabet, r):
		return 1
	case strings.ContainsRune(extension, r):
		return 2
	default:
		return 0
	}
}

// units returns the number of UCS-2 code units that a character takes: two for a character beyond the first 65,536.
func units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}
