package smssender

import "strings"

// gsm7 is the alphabet of GSM 03.38 with its extension table: what a text of type "text" can carry. A part holds 153
// septets of it, or 67 characters of Unicode.
const gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" +
	" !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmnopqrstuvwxyzäöñüà" +
	"\f^{}\\[~]|€"

// textType is the API's type for a text. Of what is outside the alphabet, type "text" makes question marks.
func textType(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(gsm7, r) }) {
		return "unicode"
	}
	return "text"
}
