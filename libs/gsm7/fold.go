package gsm7

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Fold writes a text in the alphabet where nothing is lost by it: typographic quotes, dashes, ellipses, bullets and spaces
// become their plain forms, invisible characters go, and accents join their letters ("e" and U+0301 become "é"). One of
// them would otherwise make the whole text UCS-2, which costs more than twice as much.
//
// A text that would take more parts, or that has any other character outside the alphabet, comes back as it is. So no letter is ever
// written as another one: "ł" stays "ł".
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

// Wide forms of ASCII, as keyboards for Chinese and Japanese write it. A grave accent is not in the alphabet.
const (
	firstWide, lastWide = '！', '～'
	wideGrave           = '｀'
)

// middleDot is a bullet or a separator, but for the one between two letters, which belongs to the word: "Col·lecció".
const middleDot = '·'

func betweenLetters(text []rune, i int) bool {
	return i > 0 && i+1 < len(text) && unicode.IsLetter(text[i-1]) && unicode.IsLetter(text[i+1])
}

// plainForms are typographic characters and what a typewriter has for them. There is no letter among them, but for
// ligatures, which are a way to print several.
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

// forms turns a table of plain forms around.
func forms(table map[string]string) map[rune]string {
	plain := map[rune]string{}
	for form, characters := range table {
		for _, r := range characters {
			plain[r] = form
		}
	}
	return plain
}

// invisible reports whether a character shows nothing in a text of this alphabet: soft hyphens, joiners, direction marks,
// variation selectors, a byte order mark.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}
