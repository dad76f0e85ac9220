package templates

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// mostRead is the number of bytes of a title or name that are read: 40 times the displayed length. A provider's response can contain megabytes.
const mostRead = 4 << 10

// plain returns the beginning of s on one line and in visible characters. Line breaks and control characters become spaces, and spaces become
// single. Invisible characters, and those that change the direction of the text, are removed. Look-alikes become Latin letters (see
// ordinary).
func plain(s string) string {
	s = ordinary(visible(strings.ToValidUTF8(s[:min(len(s), mostRead)], " ")))
	s = strings.Trim(strings.Join(strings.Fields(s), " "), string(joiners))
	if !strings.ContainsFunc(s, visibleAlone) {
		return "" // joiners and accents without a letter
	}
	return s
}

// cut shortens a text that is longer than the limit, in code points, and ends it with "...". It cuts between grapheme clusters, so that no
// letter loses its accent and no emoji loses a part.
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

// Persian and Indic names contain joiners, and emoji need them.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

var joiners = []rune{zeroWidthNonJoiner, zeroWidthJoiner, ' '}

const blackFlag = '\U0001F3F4'

// regionFlag is the flag of a part of a country, such as Scotland: a black flag, and its name in tags.
var regionFlag = regexp.MustCompile(`\x{1F3F4}[\x{E0030}-\x{E0039}\x{E0061}-\x{E007A}]{3,6}\x{E007F}`)

// visible removes invisible characters. It also removes tags, except those of a flag.
func visible(s string) string {
	if !strings.ContainsRune(s, blackFlag) {
		return strings.Map(shown, s)
	}
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

// joined removes joiners and variation selectors between Latin letters, digits and ASCII, where they have no effect: SMS and mail programs
// drop them, and the joined text could then be a link.
func joined(s string) string {
	if !strings.ContainsFunc(s, invisible) {
		return s
	}
	runes := []rune(s)
	kept := make([]rune, 0, len(runes))
	for i, r := range runes {
		before, behind := ' ', ' '
		if len(kept) > 0 {
			before = kept[len(kept)-1]
		}
		if i+1 < len(runes) {
			behind = runes[i+1]
		}
		switch {
		case !invisible(r), shaped(before) && (isVariation(r) || shaped(behind) && !isVariation(behind) || behind == ' '):
			kept = append(kept, r)
		case isVariation(r) && behind == keycap:
			kept = append(kept, r)
		}
	}
	return string(kept)
}

// keycap draws a key around the digit before it.
const keycap = '\u20e3'

func invisible(r rune) bool { return slices.Contains(joiners, r) && r != ' ' || isVariation(r) }

func isVariation(r rune) bool { return unicode.Is(unicode.Variation_Selector, r) }

// shaped reports whether joiners and variation selectors can change how a character is drawn.
func shaped(r rune) bool {
	return r > unicode.MaxLatin1 && !unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.P, unicode.Cf) && !unicode.IsSpace(r)
}

// shown returns the displayed form of a character: itself, a space, or nothing (-1).
func shown(r rune) rune {
	switch {
	case r == zeroWidthNonJoiner, r == zeroWidthJoiner:
		return r
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
		return ' '
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // Arabic number signs: Unicode counts them as invisible, but they are displayed
		return r
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r == '\u2800': // invisible letters
		return -1
	case !unicode.IsPrint(r): // direction marks, zero-width ones, tags, private use, unassigned
		return -1
	default:
		return r
	}
}

// visibleAlone reports whether a character is visible by itself.
func visibleAlone(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }
