package templates

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// plain is s on one line and in letters that can be seen: what breaks lines or rings bells is a space, spaces are single,
// and what hides, or turns the direction of the text around, is left out.
func plain(s string) string {
	s = visible(strings.ToValidUTF8(s, " "))
	s = strings.Trim(strings.Join(strings.Fields(s), " "), string(joiners))
	if !strings.ContainsFunc(s, stands) {
		return "" // joiners and accents of nothing
	}
	return s
}

// cut shortens a text that is longer than the limit, in code points, and ends it with "...". It cuts between grapheme
// clusters, so that no letter loses its accent, and no flag or emoji its other half.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	room, end := limit-len("..."), 0
	for clusters := uniseg.NewGraphemes(s); clusters.Next(); {
		if room -= len(clusters.Runes()); room < 0 {
			break
		}
		_, end = clusters.Positions()
	}
	return strings.TrimSpace(s[:end]) + "..."
}

// Joiners are written in Persian and Indic names, and hold emoji together.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

var joiners = []rune{zeroWidthNonJoiner, zeroWidthJoiner, ' '}

// regionFlag is the flag of a part of a country, such as Scotland: a black flag, and its name in tags.
var regionFlag = regexp.MustCompile(`\x{1F3F4}[\x{E0030}-\x{E0039}\x{E0061}-\x{E007A}]{3,6}\x{E007F}`)

// visible removes invisible characters. It also removes tags, except those of a flag.
func visible(s string) string {
	var b strings.Builder
	from := 0
	for _, flag := range regionFlag.FindAllStringIndex(s, -1) {
		b.WriteString(strings.Map(shown, s[from:flag[0]]))
		b.WriteString(s[flag[0]:flag[1]])
		from = flag[1]
	}
	b.WriteString(strings.Map(shown, s[from:]))
	return b.String()
}

// shown is a character as it may be shown: itself, a space, or nothing (-1).
func shown(r rune) rune {
	switch {
	case r == zeroWidthNonJoiner, r == zeroWidthJoiner:
		return r
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
		return ' '
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // Arabic number signs: of the invisible kind, and to be seen
		return r
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r == '\u2800': // letters that show nothing
		return -1
	case !unicode.IsPrint(r): // direction marks, zero-width ones, tags, private use, unassigned
		return -1
	default:
		return r
	}
}

// stands tells whether a character shows something by itself.
func stands(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }

// Phones and mail programs make a link of whatever looks like an address, and the only link of a message is to be ours.
var (
	// address is a word that is one beyond doubt: with a scheme, www, or a path behind its domain. A bare domain is not:
	// contracts are called "Acme.com Terms" and "Offer v1.pdf".
	address = regexp.MustCompile(`(?i)\S*(?:://|\bwww\.|\.\pL{2,}(?::\d+)?[/?#])\S*`)
	// domain is a dot that could stand in one. People have no domains in their names, and they often write them themselves.
	domain = regexp.MustCompile(`\.(\pL{2,})`)
)

// unlinked is a title in which no address is taken for one: "http://acme.example/x" is "http: acme. example/x".
func unlinked(s string) string {
	return address.ReplaceAllStringFunc(s, apart)
}

// spaced is a name in which nothing is taken for a domain: "acme.example" is "acme. example".
func spaced(s string) string {
	return domain.ReplaceAllString(unlinked(s), ". $1")
}

func apart(word string) string {
	word = strings.ReplaceAll(word, "://", ": ")
	return strings.TrimSpace(strings.ReplaceAll(word, ".", ". "))
}
