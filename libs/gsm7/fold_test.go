package gsm7

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Plain text, with € and [brackets].": "Plain text, with € and [brackets].",

		// One such character would make the text cost more than twice as much.
		"You’ve been sent “Offer”":               `You've been sent "Offer"`,
		"‚Angebot‘ und „Vertrag“":                `'Angebot' und "Vertrag"`,
		"« Contrat » ‹ annexe ›":                 `" Contrat " ' annexe '`,
		"O’Brien, O`Brien, O´Brien":              "O'Brien, O'Brien, O'Brien",
		"6′ 2″":                                  `6' 2"`,
		"2019–2024 — draft − 3 ‒ x ― y":          "2019-2024 - draft - 3 - x - y",
		"Non‑Compete ‐ Agreement":                "Non-Compete - Agreement",
		"and so on…":                             "and so on...",
		"• one ‣ two ◦ three ⁃ four":             "- one - two - three - four",
		"Acme · NDA":                             "Acme - NDA",
		"Merci de signer\u00a0: x":               "Merci de signer : x",
		"1\u202f000\u2009€ a\u2007b\u3000c":      "1 000 € a b c",
		"a\tb\u2003c":                            "a b c",
		"Cafe\u0301 A\u0308rger U\u0308 n\u0303": "Café Ärger Ü ñ",
		"A\u030angstro\u0308m \u212b":            "Ångström Å",
		"off\u00adice of\ufb01ce \ufb03":         "office office ffi",
		"\ufeffa\u200bb\u2060c\u200ed":           "abcd",
		"（Ｏｆｆｅｒ　２０２６），ｎｅｗ！":                      "(Offer 2026),new!",
		"1/2 ⁄ 3 ∕ 4":                            "1/2 / 3 / 4",

		// If folding would change a word, the whole text stays as it is.
		"Łukasz’s offer":            "Łukasz’s offer",
		"Őry – x":                   "Őry – x",
		"Zoë’s":                     "Zoë’s",
		"Zoe\u0308’s":               "Zoe\u0308’s",
		"ça…":                       "ça…",
		"Col·lecció – x":            "Col·lecció – x",
		"Gal·la":                    "Gal·la",
		"Hawaiʻi – x":               "Hawaiʻi – x",
		"李小龍 – “x”":                 "李小龍 – “x”",
		"می\u200cخواهم":             "می\u200cخواهم",
		"👩\u200d🚀 – x":              "👩\u200d🚀 – x",
		"Α – a Greek capital alpha": "Α – a Greek capital alpha",
		"m² – ½ – ™":                "m² – ½ – ™",
		"\u0605 – a number sign":    "\u0605 – a number sign",
		strings.Repeat("…", 70):     strings.Repeat("…", 70),
		"half a character – \xff":   "half a character – \xff",
		"replaced – \ufffd":         "replaced – \ufffd",
	} {
		if got := Fold(text); got != want {
			t.Errorf("%+q is folded to %+q, want %+q", text, got, want)
		}
	}
}

// Fold returns any text unchanged, or a text of the alphabet alone. The folded text has the same letters and digits, costs no more, and
// does not change when it is folded again.
func TestFoldLosesNoLetter(t *testing.T) {
	t.Parallel()
	typographic := []rune(alphabet + extension + "‘’“”«»‐‑–—…•·\u00a0\u202f\u2009\u00ad\u200b\u200d\ufe0f\u0301\u0308\u030ałőëçŁ李ʻÅ☂")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom(typographic))).Draw(t, "text")
		folded := Fold(text)
		if folded == text {
			return
		}
		if outside := Outside(folded); outside != "" {
			t.Fatalf("%+q is folded to %+q, which still has %+q outside the alphabet", text, folded, outside)
		}
		if before, after := letters(text), letters(folded); before != after {
			t.Fatalf("the letters %+q became %+q", before, after)
		}
		before, _ := Parts(text)
		if after, _ := Parts(folded); after > before {
			t.Fatalf("%+q takes %d parts, and %d when folded", text, before, after)
		}
		if again := Fold(folded); again != folded {
			t.Fatalf("%+q is folded to %+q, and that to %+q", text, folded, again)
		}
	})
}

// letters returns a text's letters and digits, with their accents and without ligatures.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.L, unicode.N) {
			return r
		}
		return -1
	}, norm.NFKC.String(text))
}
