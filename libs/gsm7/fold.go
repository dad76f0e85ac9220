package gsm7

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Fold replaces characters outside the alphabet if no meaning is lost. Typographic quotes, dashes, ellipses, bullets and spaces become their
// plain forms; invisible characters are removed; combining accents join their letters ("e" and U+0301 become "é"). A single such character
// would otherwise make the whole text UCS-2, which costs more than twice as much.
//
// Fold returns a text unchanged if folding would take more parts, or if the text has any other character outside the alphabet. So Fold
// never replaces one letter with another: "ł" stays "ł".
func Fold(text string) string {
	if !strings.ContainsFunc(text, outside) {
		return text
	}
	runes := []rune(norm.NFC.String(text))
	var folded strings.Builder
	for i, r := range runes {
		switch plain, known := plainForms[r]; {
		case !outside(r):
			folded.WriteRune(r)
		case known:
			folded.WriteString(plain)
		case r >= firstWide && r <= lastWide && r != wideGrave:
			folded.WriteRune(r - firstWide + '!')
		case invisible(r):
		case unicode.IsSpace(r), unicode.Is(unicode.Zs, r):
			folded.WriteByte(' ')
		case r == middleDot && !betweenLetters(runes, i):
			folded.WriteByte('-')
		default:
			return text
		}
	}
	before, _ := Parts(text)
	if after, _ := Parts(folded.String()); after > before { // seventy ellipses fit one message of UCS-2
		return text
	}
	return folded.String()
}

// Full-width forms of ASCII, which Chinese and Japanese keyboards produce. A grave accent is not in the alphabet.
const (
	firstWide, lastWide = '！', '～'
	wideGrave           = '｀'
)

// middleDot is a bullet or a separator, except between two letters, where it is part of the word: "Col·lecció".
const middleDot = '·'

func betweenLetters(text []rune, i int) bool {
	return i > 0 && i+1 < len(text) && unicode.IsLetter(text[i-1]) && unicode.IsLetter(text[i+1])
}

// plainForms maps a plain form to the typographic characters that it replaces. The only letters among them are ligatures, which print
// several letters as one.
var plainForms = forms(map[string]string{
	"'":   "‘’‚‛‹›′‵`´❛❜",
	`"`:   "“”„‟«»″‶〝〞❝❞",
	"-":   "‐‑‒–—―−⁃﹘﹣•‣◦∙▪▫●○■□⁌⁍",
	"...": "…",
	"..":  "‥",
	".":   "․",
	":":   "∶",
	"/":   "⁄∕",
	"!!":  "‼",
	"ff":  "ﬀ",
	"fi":  "ﬁ",
	"fl":  "ﬂ",
	"ffi": "ﬃ",
	"ffl": "ﬄ",
	"st":  "ﬅﬆ",
})

// forms inverts a table of plain forms.
func forms(table map[string]string) map[rune]string {
	plain := map[rune]string{}
	for form, characters := range table {
		for _, r := range characters {
			plain[r] = form
		}
	}
	return plain
}

// invisible reports whether a character is invisible in a text of this alphabet: soft hyphens, joiners, direction marks,
// variation selectors, a byte order mark.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}
