package templates

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Phones and mail programs make a link of text that looks like an address. A message's only link must be ours. So titles and names contain
// nothing that a linkifier links: no scheme, no domain, no mail address, no IP address, and no phone number in a usual form. The rule needs
// no list of top-level domains, which grows.
var (
	// scheme ends a word with a colon: "tel:1", "http://x". Times such as 12:30 stay.
	scheme    = regexp.MustCompile(`([\pL\pM]):\pZ*/*`)
	slashes   = regexp.MustCompile(`:?/{2,}`)
	localhost = regexp.MustCompile(`(?i)(local)(host)`)
	// quad is four or more numbers with dots between them, in decimal, octal or hexadecimal.
	quad = regexp.MustCompile(`(?i)(?:(?:0x[0-9a-f]+|\d+)\.){3,}(?:0x[0-9a-f]+|\d+)`)
)

// unlinked returns a text in which a linkifier finds nothing: "http://acme.example/x" is "http: acme. example/x". Most titles and names have none of
// the characters without which an expression finds nothing. Without these conditions the expressions took 28 µs for a title.
func unlinked(s string) string {
	if strings.Contains(s, ":") {
		s = scheme.ReplaceAllString(s, "$1: ")
	}
	if strings.Contains(s, "//") {
		s = slashes.ReplaceAllString(s, "/")
	}
	s = strings.ReplaceAll(s, "@", " @ ")
	if strings.Count(s, ".") >= 3 {
		s = quad.ReplaceAllStringFunc(s, func(numbers string) string {
			if !isIP(numbers) {
				return numbers
			}
			return strings.ReplaceAll(numbers, ".", ". ")
		})
	}
	if strings.Contains(strings.ToLower(s), "local") {
		s = localhost.ReplaceAllString(s, "$1 $2")
	}
	if strings.ContainsAny(s, dots) {
		s = dotted(s)
	}
	return strings.Join(strings.Fields(undialled(s)), " ")
}

// dots are the dots of domains.
const dots = ".。｡．"

// isIP reports whether dotted numbers contain an IP address, also in the middle. "1.234.567.890" is a sum of money.
func isIP(numbers string) bool {
	inRow := 0
	for text := range strings.SplitSeq(numbers, ".") {
		inRow++
		if n, err := strconv.ParseUint(text, 0, 64); err == nil && n > 255 {
			inRow = 0
		}
		if inRow == 4 {
			return true
		}
	}
	return false
}

// fileTypes are the extensions of files that are not top-level domains. They are frequent in titles: "Offer v1.pdf", "Node.js".
var fileTypes = map[string]bool{"pdf": true, "docx": true, "xlsx": true, "pptx": true, "odt": true, "txt": true, "rtf": true, "js": true}

// dotted puts a space after each dot that could be part of a domain: between a character and two letters. File types stay at the end of
// a word. An ideographic full stop is a dot in domains too (RFC 3490, section 3.1).
func dotted(s string) string {
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		b.WriteRune(r)
		if i == 0 || i+1 == len(runes) || unicode.IsSpace(runes[i-1]) {
			continue
		}
		switch r {
		case '.':
			word := label(runes[i+1:])
			behind := append(runes[i+1+len(word):], ' ')[0]
			if isWWW(runes[:i]) || len(word) > 1 && !unicode.IsNumber(word[0]) && !unicode.IsNumber(word[1]) &&
				(!fileTypes[strings.ToLower(string(word))] || !unicode.IsSpace(behind) && !strings.ContainsRune(`"'”’»),;!`, behind)) {
				b.WriteByte(' ')
			}
		case '。', '｡', '．':
			if inWord(runes[i+1]) {
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}

// label returns the letters, accents and digits at the beginning of a text.
func label(text []rune) []rune {
	for i, r := range text {
		if !inWord(r) {
			return text[:i]
		}
	}
	return text
}

var www = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])www\d?$`)

func isWWW(before []rune) bool { return www.MatchString(string(before[max(0, len(before)-5):])) }

// phone matches a number in a form that people write to be called: with a plus or 00, with a leading 0 or an area code in brackets and
// groups, or in the groups of North America, Australia, Russia, India, China and Brazil. A row of digits without groups stays, because
// contract numbers look like that too. The expression is for the result of dialled.
var phone = regexp.MustCompile(`(?:\+[ .(\-/]{0,2}|\b00[ .\-/]?)[1-9](?:[ .()\-/]{0,4}\d){7,}` +
	`|(?:\b1[ .\-/]{1,2})?(?:\([2-9]\d\d\)[ .\-/]{0,3}|\b[2-9]\d\d[ .\-/])\d{3}[ .\-/]\d{4}\b` +
	`|\(0[1-9]\d{0,4}\)(?:[ .\-/]{0,3}\d){5,}` +
	`|(?:\b\d{1,3}[ .\-]?)?\(\d{2,3}\)(?:[ .\-/]{0,3}\d){6,}` +
	`|\b0[1-9]\d{1,4}(?: \d{2,8}){1,4}\b` +
	`|\b0[1-9](?:[ .]\d{2}){4}\b` +
	`|\b0[1-9](?:[ .()\-/]{0,4}\d){7,}\b` +
	`|(?:\b0|\(0\))[ .\-/]{0,3}[1-9](?:[ .\-/]{0,3}\d){7,}\b` +
	`|\b1[38]00[ .\-]\d{3}[ .\-]\d{3,4}\b` +
	`|\b8[ .\-]\(?[3489]\d\d\)?[ .\-]\d{3}[ .\-]\d\d[ .\-]?\d\d\b` +
	`|\b[6-9]\d{4}[ \-]\d{5}\b` +
	`|\b1[3-9]\d[ \-]\d{4}[ \-]\d{4}\b` +
	`|\b\d\d 9\d{4}[ \-]\d{4}\b`)

// Matches of phone that are not phone numbers: a row without groups, and dates.
var (
	ungrouped = regexp.MustCompile(`^0?[1-9]\d*$`)
	dates     = regexp.MustCompile(`^\d\d([./\-])\d\d[./\-](?:\d\d){1,2}(?: ?[\-/] ?\d\d[./\-]\d\d[./\-](?:\d\d){1,2}| \d{3,4})?$`)
)

// dialled returns a text with one byte for each character. Digits of all scripts, and the marks that phones accept in a number, become ASCII.
func dialled(text []rune) string {
	b := make([]byte, len(text))
	for i, r := range text {
		switch mark, known := dialledMark[r]; {
		case known:
			b[i] = byte(mark)
		case r <= unicode.MaxASCII:
			b[i] = byte(r)
		case unicode.Is(unicode.Nd, r):
			b[i] = '0' + digitOf(r)
		default:
			b[i] = 0
		}
	}
	return string(b)
}

// dialledMark maps the marks that phones skip within a number to an ASCII mark.
var dialledMark = pairs("＋+﹢+‐-‑-‒-–-—-―-−-－-﹣-ー-~-～-⁓-∼-·.・.•.∙.⋅.．.／/⁄/∕/（(［([(）)］)])")

// digitOf returns the value of a decimal digit: each script has its ten digits in a row. The zero follows a character that is not a digit, or
// the nine of another row.
func digitOf(r rune) byte {
	for _, row := range unicode.Nd.R16 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return byte((r - rune(row.Lo)) % 10)
		}
	}
	for _, row := range unicode.Nd.R32 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return byte((r - rune(row.Lo)) % 10)
		}
	}
	return 0
}

// A number with fewer digits cannot be called from everywhere, so it is not a phone number. The displayed part of a longer number is too
// short to call.
const (
	fewestDigits = 8
	shownDigits  = 4
)

// undialled cuts phone numbers after their first digits: "+44 20 7946 0000" is "+44 20...". A caller would reach the author of the title, and
// believe that this is the sender of the message.
func undialled(s string) string {
	if !hasDigits(s, fewestDigits) {
		return s
	}
	return cutNumbers(s)
}

func cutNumbers(s string) string {
	text := []rune(s)
	plain := dialled(text)
	var b strings.Builder
	from := 0
	for _, at := range phone.FindAllStringIndex(plain, -1) {
		number := plain[at[0]:at[1]]
		if isDigit(number[0]) && continues(plain[from:at[0]]) || ungrouped.MatchString(number) || dates.MatchString(number) {
			continue
		}
		b.WriteString(string(text[from:at[0]]))
		b.WriteString(beginning(text[at[0]:at[1]], number))
		from = at[1]
	}
	return b.String() + string(text[from:])
}

// hasDigits reports whether a text has this number of digits, of any script.
func hasDigits(s string, n int) bool {
	for _, r := range s {
		if unicode.IsDigit(r) {
			if n--; n == 0 {
				return true
			}
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// continues reports whether the text before a number belongs to it, as in an IBAN: a group of three or more digits, or letters and digits. A
// single digit, such as a room number, does not belong to it: otherwise it would hide the number.
func continues(before string) bool {
	before = strings.TrimRight(before, " .-/")
	group := before[strings.LastIndexAny(before, " .-/")+1:]
	return len(group) > 2 && isDigit(group[len(group)-1])
}

// beginning returns a number's first digits, or the number if it is too short to be called.
func beginning(text []rune, number string) string {
	digits, shown := 0, 0
	for i := range len(number) {
		if !isDigit(number[i]) {
			continue
		}
		if digits++; digits == shownDigits {
			shown = i + 1
		}
	}
	if digits < fewestDigits {
		return string(text)
	}
	return string(text[:shown]) + "..."
}
