package index

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The marks before each text of a document's words. A query cannot contain them, because fold removes control characters. Each text ends
// with a newline, so that a piece never matches across two texts.
const (
	titleMark  = "\x02"
	nameMark   = "\x03"
	emailMark  = "\x04"
	numberMark = "\x05"
)

// longestTitle is the number of characters of a title that are searchable: a title of 1 MB would have 10^6 terms.
const longestTitle = 1000

// fold returns a text as it is compared: lower case, without accents and control characters, with compatibility forms such as full-width digits
// in their usual form. Both databases get this text, so neither folds anything itself.
func fold(text string) string {
	if isFolded(text) {
		return text
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.Is(unicode.Mn, r) && r != '\u3099' && r != '\u309a': // the two are part of Japanese letters
		case unicode.IsControl(r) || unicode.IsSpace(r) || r == utf8.RuneError:
			b.WriteByte(' ')
		case letters[r] != "":
			b.WriteString(letters[r])
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return norm.NFC.String(b.String())
}

// letters are the Latin letters that have no decomposition.
var letters = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ø': "o", 'Ø': "o", 'ł': "l", 'Ł': "l", 'đ': "d", 'Đ': "d", 'ð': "d", 'Ð': "d",
	'þ': "th", 'Þ': "th", 'ı': "i",
}

func isFolded(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= utf8.RuneSelf || c < ' ' || c == 0x7f || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// digits returns the digits of a folded number without leading zeros.
func digits(number string) string {
	kept := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, number)
	return strings.TrimLeft(kept, "0")
}

// words returns the searchable texts of a document.
func (r *Row) words() string {
	var b strings.Builder
	write := func(mark, text string) {
		if text = strings.TrimSpace(text); text != "" {
			b.WriteString(mark)
			b.WriteString(text)
			b.WriteByte('\n')
		}
	}
	title := fold(r.Title)
	if utf8.RuneCountInString(title) > longestTitle {
		title = string([]rune(title)[:longestTitle])
	}
	write(titleMark, title)
	for i := range r.People {
		p := &r.People[i]
		for _, is := range append([]Former{{p.FirstName, p.LastName, p.Email, p.Mobile}}, p.Former...) {
			write(nameMark, strings.Join(strings.Fields(fold(is.FirstName)+" "+fold(is.LastName)), " "))
			write(emailMark, fold(is.Email))
			write(numberMark, digits(fold(is.Mobile)))
		}
	}
	return b.String()
}

// The kinds of terms: the first byte of each.
const (
	termAll      = "a"
	termPiece    = "g" // three characters in a row
	termBegins   = "b" // one or two characters at the beginning of a word
	termID       = "i" // up to idTerm characters at the beginning of the id
	termSource   = "s"
	termProvider = "p"
	termState    = "t"
	termUntold   = "u"
	termStuck    = "k"
)

// idTerm is the number of characters of an id that are terms. Longer beginnings are found by the database's own index of ids: with more
// characters, nearly each document would have a term of its own.
const idTerm = 4

// wordTerms calls add for each term of a document's words, repeatedly for a term that it has repeatedly.
func wordTerms(words string, add func(term string)) {
	var window [3]int // the starts of the last three characters of the word; the last is the current one
	count := 0
	before := ' '
	for i, r := range words {
		if r <= ' ' {
			count, before = 0, ' '
			continue
		}
		size := utf8.RuneLen(r)
		if starts(before, r) {
			add(termBegins + words[i:i+size])
			if next, n := utf8.DecodeRuneInString(words[i+size:]); n > 0 && next > ' ' {
				add(termBegins + words[i:i+size+n])
			}
		}
		window[0], window[1], window[2] = window[1], window[2], i
		if count++; count >= 3 {
			add(termPiece + words[window[0]:i+size])
		}
		before = r
	}
}

// starts reports whether a word begins with r. A Chinese, Japanese or Korean character is a word, because no space separates them.
func starts(before, r rune) bool {
	return !alphanumeric(before) || !alphanumeric(r) || cjk(r)
}

func alphanumeric(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

func cjk(r rune) bool {
	return r >= 0x1100 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// idTerms calls add for each term of a folded id.
func idTerms(id string, add func(term string)) {
	n := 0
	for i, r := range id {
		if n++; n > idTerm {
			return
		}
		add(termID + id[:i+utf8.RuneLen(r)])
	}
}

// A sought is what a query's text asks for: one of the readings must match, and all parts of it.
type sought []reading

type reading []part

// A part is one word of a query: one of the ways must match.
type part []way

// A way is how a word may match.
type way struct {
	how  int
	text string
}

const (
	contains  = iota + 1 // a text contains it
	begins               // a word begins with it
	beginsID             // the id begins with it
	isID                 // it is the id
	isEmail              // it is an address
	isNumber             // it is a number
	endNumber            // a number ends with it, and has at most three more digits, the code of its country
)

// The number of digits that a number has at least if it is compared as a whole, and of the code of a country at most.
const (
	wholeNumber = 7
	countryCode = 3
)

// seek reads a query's text. It is empty if the text is.
func seek(text string, exact bool) sought {
	text = strings.TrimSpace(fold(text))
	all := strings.Fields(text)
	if len(all) == 0 {
		return nil
	}
	if exact {
		return sought{{seekExact(text)}}
	}
	var words reading
	for _, word := range all {
		words = append(words, seekWord(word))
	}
	found := sought{words}
	if len(all) > 1 && numeric(text) {
		found = append(found, reading{seekNumber(digits(text))})
	}
	return found
}

func seekWord(word string) part {
	p := part{{contains, word}, {beginsID, word}}
	if utf8.RuneCountInString(word) < 3 {
		p[0].how = begins
	}
	if numeric(word) {
		p = append(p, seekNumber(digits(word))...)
	}
	return p
}

// seekNumber returns the ways of digits: as a piece of a text, or as a whole number that was stored without the code of its country.
func seekNumber(number string) part {
	how := contains
	if len(number) < 3 {
		how = begins
	}
	return append(part{{how, number}}, withoutCode(number)...)
}

func withoutCode(number string) (ways part) {
	for drop := 1; drop <= countryCode && len(number)-drop >= wholeNumber; drop++ {
		if local := strings.TrimLeft(number[drop:], "0"); len(local) >= wholeNumber {
			ways = append(ways, way{isNumber, local})
		}
	}
	return ways
}

func seekExact(text string) part {
	p := part{{isID, text}}
	if strings.Contains(text, "@") {
		p = append(p, way{isEmail, text})
	}
	if number := digits(text); numeric(text) && len(number) >= wholeNumber {
		p = append(p, way{isNumber, number}, way{endNumber, number})
		p = append(p, withoutCode(number)...)
	}
	return p
}

// numeric reports whether a text is a number as people write it, or a part of one.
func numeric(text string) bool {
	return len(digits(text)) > 0 && strings.Trim(text, "0123456789 +-()./") == "" && strings.ContainsAny(text, "123456789")
}

// matches reports whether a document has what is sought.
func (s sought) matches(id, words string) bool {
	for _, r := range s {
		if r.matches(id, words) {
			return true
		}
	}
	return len(s) == 0
}

func (r reading) matches(id, words string) bool {
	for _, p := range r {
		if !p.matches(id, words) {
			return false
		}
	}
	return true
}

func (p part) matches(id, words string) bool {
	for _, w := range p {
		if w.matches(id, words) {
			return true
		}
	}
	return false
}

func (w way) matches(id, words string) bool {
	switch w.how {
	case contains:
		return strings.Contains(words, w.text)
	case begins:
		return hasBeginning(words, w.text)
	case beginsID:
		return strings.HasPrefix(id, w.text)
	case isID:
		return id == w.text
	case isEmail:
		return strings.Contains(words, emailMark+w.text+"\n")
	case isNumber:
		return strings.Contains(words, numberMark+w.text+"\n")
	case endNumber:
		return hasNumber(words, w.text)
	default:
		return false
	}
}

func hasBeginning(words, text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	for from := 0; ; {
		i := strings.Index(words[from:], text)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(words[:i])
		if starts(before, first) {
			return true
		}
		from = i + 1
	}
}

func hasNumber(words, end string) bool {
	for line := range strings.Lines(words) {
		number, is := strings.CutPrefix(line, numberMark)
		if more, ends := strings.CutSuffix(number, end+"\n"); is && ends && len(more) <= countryCode {
			return true
		}
	}
	return false
}
