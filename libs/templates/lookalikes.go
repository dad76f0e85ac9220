package templates

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ordinary writes styled Latin letters and digits as ordinary ones, and each word in one script. An attacker can write "paypal" in bold
// mathematical letters, or with a Cyrillic "а". Such text passes every filter, and people read it as "paypal".
func ordinary(s string) string {
	if !strings.ContainsFunc(s, beyondLatin1) {
		return s
	}
	for range mostRounds {
		next := asciiMarks(apartFromLatin(oneScript(joined(strings.Join(mapRunes(s, unstyled), "")))))
		if next == s {
			break
		}
		s = next
	}
	return s
}

// mostRounds limits the rounds of ordinary. A letter that became Latin loses its joiner. That can join two words into one that mixes scripts.
// Usually two rounds are enough.
const mostRounds = 8

func beyondLatin1(r rune) bool { return r > unicode.MaxLatin1 }

func mapRunes(s string, to func(rune) string) []string {
	var parts []string
	for _, r := range s {
		parts = append(parts, to(r))
	}
	return parts
}

// unstyled returns a styled letter or digit as an ordinary one: bold, fullwidth, circled, small capital. "№", "²" and "½" stay.
func unstyled(r rune) string {
	if plain, known := smallCapitals[r]; known {
		return string(plain)
	}
	for _, first := range []rune{'🄰', '🅐', '🅰'} { // squared, negative circled, negative squared; only the first has an NFKC form
		if r >= first && r < first+26 {
			return string('A' + r - first)
		}
	}
	if beyondLatin1(r) && unicode.In(r, unicode.L, unicode.Nd, unicode.Nl, unicode.So) {
		plain := norm.NFKC.String(string(r))
		foreign := strings.ContainsFunc(plain, func(r rune) bool { return !asciiAlphanumeric(r) })
		if !foreign && (len(plain) == 1 || !unicode.Is(unicode.So, r)) { // "™" stays
			return plain
		}
	}
	return string(r)
}

func asciiAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// smallCapitals are Latin letters of phonetic alphabets which Unicode does not derive from the ordinary ones.
var smallCapitals = pairs("ᴀaʙbᴄcᴅdᴇeꜰfɢgʜhɪiᴊjᴋkʟlᴍmɴnᴏoᴘpʀrꜱsᴛtᴜuᴠvᴡwʏyᴢzɑaɡg")

// asciiMark are forms of the punctuation marks in addresses.
var asciiMark = pairs("．.․.﹒.：:﹕:∶:／/⁄/∕/⧸/＠@﹫@％%﹪%？?＃#－-＿_＼\\")

// asciiMarks replaces these forms by ASCII beside ASCII. Between Chinese and Japanese characters they stay.
func asciiMarks(s string) string {
	runes := []rune(s)
	for i, r := range runes {
		plain, known := asciiMark[r]
		if known && (i > 0 && runes[i-1] > ' ' && runes[i-1] <= unicode.MaxASCII || i+1 < len(runes) && asciiAlphanumeric(runes[i+1])) {
			runes[i] = plain
		}
	}
	return string(runes)
}

// pairs reads a text in which each character is followed by its replacement.
func pairs(text string) map[rune]rune {
	runes, table := []rune(text), map[rune]rune{}
	for i := 0; i < len(runes); i += 2 {
		table[runes[i]] = runes[i+1]
	}
	return table
}

// imitators are the scripts with letters that look like Latin ones.
var imitators = []*unicode.RangeTable{unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic, unicode.Lisu}

// lookAlikes are letters of those scripts that look like a Latin letter, by that letter (Unicode's confusables.txt, UTS #39).
var lookAlikes = map[rune]string{
	'A': "АΑᎪꓮ", 'B': "ВΒᏴꓐ", 'C': "СᏟⲤꓚ", 'D': "Ꭰꓓ", 'E': "ЕΕᎬꓰ", 'F': "Ϝꓝ", 'G': "ԌᏀᏳꓖ", 'H': "НΗᎻⲎꓧ", 'I': "ІӀΙⲒꓲ", 'J': "ЈͿᎫꓙ",
	'K': "КΚᏦⲔꓗ", 'L': "ᏞⳐꓡ", 'M': "МΜϺᎷⲘꓟ", 'N': "ΝⲚꓠ", 'O': "ОΟՕⲞꓳ", 'P': "РΡᏢⲢꓑ", 'R': "ᎡᏒꓣ", 'S': "ЅՏᏕᏚꓢ", 'T': "ТΤᎢⲦꓔ", 'U': "Սꓴ",
	'V': "ѴᏙꓦ", 'W': "ԜᎳᏔꓪ", 'X': "ХΧⲬꓫ", 'Y': "УҮΥᎩᎽⲨꓬ", 'Z': "ΖᏃꓜ",
	'a': "аα", 'b': "Ꮟᏼ", 'c': "сꮯⲥ", 'd': "ԁᏧꓒ", 'e': "еҽ", 'f': "ք", 'g': "ց", 'h': "һհᏂ", 'i': "іӏꙇιᎥꭵ", 'j': "јϳ", 'k': "кκꮶⲕ", 'm': "мꮇ",
	'n': "ηոռ", 'o': "оοσօⲟ", 'p': "рρⲣ", 'q': "ԛգզ", 's': "ѕꮪ", 't': "тτꭲ", 'u': "υս", 'v': "ѵνꮩ", 'w': "ѡԝաꮃ", 'x': "х", 'y': "уүγ", 'z': "ꮓ",
}

var latinOf = func() map[rune]rune {
	latin := map[rune]rune{}
	for letter, others := range lookAlikes {
		for _, other := range others {
			latin[other] = letter
		}
	}
	return latin
}()

// oneScript writes words that mix Latin letters with look-alikes in one script, or puts a space between the scripts if that is not possible.
// A word that consists of look-alikes becomes Latin if the text has Latin words and no word that is clearly of the other script. Other words
// stay, also "kΩ".
func oneScript(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, imitators...) }) {
		return s
	}
	decomposed := []rune(norm.NFD.String(s))
	words := splitWords(decomposed)
	latin := slices.ContainsFunc(decomposed, isLatin)
	clearly := slices.ContainsFunc(words, func(word []rune) bool {
		return !slices.ContainsFunc(word, isLatin) && slices.ContainsFunc(word, distinct)
	})
	var b strings.Builder
	for _, word := range words {
		alone := !slices.ContainsFunc(word, distinct) && letters(word) > 1 && latin && !clearly
		if alone || slices.ContainsFunc(word, isLatin) && slices.ContainsFunc(word, imitates) {
			word = inOneScript(word)
		}
		b.WriteString(string(word))
	}
	return norm.NFC.String(b.String())
}

func isLatin(r rune) bool { return unicode.Is(unicode.Latin, r) }

func isLookAlike(r rune) bool { return latinOf[r] != 0 }

// imitates reports whether a letter is suspicious beside Latin ones. Greek letters such as Ω and π are not, because they are signs of units.
func imitates(r rune) bool {
	return isLookAlike(r) || distinct(r) && !unicode.Is(unicode.Greek, r)
}

// distinct reports whether a letter of an imitator does not look like any Latin letter.
func distinct(r rune) bool {
	return unicode.In(r, imitators...) && unicode.IsLetter(r) && latinOf[r] == 0
}

func letters(word []rune) int {
	n := 0
	for _, r := range word {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// splitWords splits a text into words and separators.
func splitWords(text []rune) [][]rune {
	var words [][]rune
	for i, r := range text {
		if i == 0 || inWord(r) != inWord(text[i-1]) {
			words = append(words, nil)
		}
		words[len(words)-1] = append(words[len(words)-1], r)
	}
	return words
}

func inWord(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// inOneScript writes a word with letters of several scripts in Latin if all other letters look like Latin ones; otherwise in the other
// script if all Latin letters look like letters of that script; otherwise with a space between the scripts.
func inOneScript(word []rune) []rune {
	if !slices.ContainsFunc(word, distinct) {
		return replaced(word, latinOf)
	}
	i := slices.IndexFunc(word, distinct)
	for _, script := range imitators {
		if !unicode.Is(script, word[i]) {
			continue
		}
		table, whole := map[rune]rune{}, true
		for _, r := range word {
			if isLatin(r) {
				j := strings.IndexFunc(lookAlikes[r], func(other rune) bool { return unicode.Is(script, other) })
				if whole = whole && j >= 0; whole {
					table[r] = []rune(lookAlikes[r][j:])[0]
				}
			}
			whole = whole && (!unicode.In(r, imitators...) || unicode.Is(script, r))
		}
		if whole {
			return replaced(word, table)
		}
	}
	return apart(word)
}

func replaced(word []rune, table map[rune]rune) []rune {
	word = slices.Clone(word)
	for i, r := range word {
		if other, known := table[r]; known {
			word[i] = other
		}
	}
	return word
}

// apart puts a space between letters of two scripts. Digits and accents stay with the letter before them.
func apart(word []rune) []rune {
	var spaced []rune
	var before *unicode.RangeTable
	for _, r := range word {
		if script := scriptOf(r); script != nil {
			if before != nil && script != before {
				spaced = append(spaced, ' ')
			}
			before = script
		}
		spaced = append(spaced, r)
	}
	return spaced
}

// mixing are the scripts that ordinary words mix with Latin letters: those of East Asia, as in "Tシャツ", and signs of units. Imitators are
// handled separately.
var mixing = append([]*unicode.RangeTable{
	unicode.Common, unicode.Inherited, unicode.Latin, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
}, imitators...)

// isStrange reports whether a character belongs to another script: Unicode lists look-alikes in forty more scripts (UTS #39).
func isStrange(r rune) bool { return beyondLatin1(r) && inWord(r) && !unicode.In(r, mixing...) }

// apartFromLatin writes digits in words with Latin letters as ASCII ones, and puts a space between Latin letters and those of strange
// scripts: "g๐๐gle" is "g00gle", and "paყpal" is "pa ყ pal".
func apartFromLatin(s string) string {
	foreignDigit := func(r rune) bool { return beyondLatin1(r) && unicode.Is(unicode.Nd, r) }
	if !strings.ContainsFunc(s, func(r rune) bool { return isStrange(r) || foreignDigit(r) }) {
		return s
	}
	var b strings.Builder
	for _, word := range splitWords([]rune(s)) {
		if !slices.ContainsFunc(word, isLatin) {
			b.WriteString(string(word))
			continue
		}
		beside := 0 // 1 after a Latin letter, 2 after a strange one
		for _, r := range word {
			now := beside
			switch {
			case foreignDigit(r):
				r = rune('0' + digitOf(r))
			case isStrange(r):
				now = 2
			case isLatin(r):
				now = 1
			}
			if beside != 0 && now != beside {
				b.WriteByte(' ')
			}
			beside = now
			b.WriteRune(r)
		}
	}
	return b.String()
}

// scriptOf returns Latin, an imitator, or nil for other scripts. Other scripts mix with Latin in ordinary text.
func scriptOf(r rune) *unicode.RangeTable {
	for _, script := range append([]*unicode.RangeTable{unicode.Latin}, imitators...) {
		if unicode.Is(script, r) && unicode.IsLetter(r) {
			return script
		}
	}
	return nil
}
