package recipient

import (
	"strings"
	"unicode"
)

// visible returns the visible form of a number or address that was typed or pasted: without invisible characters (zero-width, directional,
// variation selectors, controls), with full-width forms as ASCII, digits of all scripts as 0 to 9, and one kind of space and dash. Line breaks
// remain, because they separate two values.
func visible(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
			return '\n'
		case unicode.IsSpace(r):
			return ' '
		case invisible(r):
			return -1
		case '\uff01' <= r && r <= '\uff5e': // full-width forms of '!' to '~'
			return r - '\uff01' + '!'
		case r > unicode.MaxASCII && unicode.Is(unicode.Nd, r):
			return digit(r)
		case unicode.Is(unicode.Pd, r), r == '\u2212', r == '\u30fc': // minus sign, the katakana length mark
			return '-'
		case r == '\ufe62': // small plus
			return '+'
		case r == '\u2044', r == '\u2215':
			return '/'
		default:
			return r
		}
	}, strings.ToValidUTF8(text, "\ufffd")))
}

func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) || r == '\u2800'
}

// digit converts a decimal digit of any script to 0 to 9. Each of Unicode's ranges of digits begins with a zero and is in order.
func digit(r rune) rune {
	for _, at := range unicode.Nd.R16 {
		if rune(at.Lo) <= r && r <= rune(at.Hi) {
			return '0' + (r-rune(at.Lo))%10
		}
	}
	for _, at := range unicode.Nd.R32 {
		if rune(at.Lo) <= r && r <= rune(at.Hi) {
			return '0' + (r-rune(at.Lo))%10
		}
	}
	return r
}
