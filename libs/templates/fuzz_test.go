package templates_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// octet is a number of an IP address: "10.0.19045.1" is a version.
const octet = `(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`

// Patterns that a linkifier finds, in ASCII and ideographic dots; the tests with a real linkifier cover more.
var (
	address = regexp.MustCompile(`\S@|@\S|//|(?i:(?:^|[^\pL\pN])www\.\S)|\pL:/|\b(?:` + octet + `\.){3}` + octet + `\b`)
	domain  = regexp.MustCompile(`[\pL\pN][.\x{3002}\x{ff61}\x{ff0e}](\pL[\pL\pM]+)`)
)

// harmless fails unless an outside text is one line of at most limit characters. It must contain no control characters, no direction marks,
// and nothing in the form of an address.
func harmless(t *testing.T, words, shown string, limit int) {
	t.Helper()
	if !utf8.ValidString(shown) || utf8.RuneCountInString(shown) > limit || strings.Contains(shown, "  ") || strings.TrimSpace(shown) != shown {
		t.Fatalf("%+q is shown as %+q", words, shown)
	}
	for _, r := range shown {
		if unicode.Is(unicode.Cc, r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			t.Fatalf("%+q is shown with %U: %+q", words, r, shown)
		}
	}
	if found := address.FindString(shown); found != "" {
		t.Fatalf("%+q is shown with %q: %+q", words, found, shown)
	}
	for _, found := range domain.FindAllStringSubmatch(shown, -1) {
		switch strings.ToLower(found[1]) {
		case "pdf", "docx", "xlsx", "pptx", "odt", "txt", "rtf", "js": // endings of files
		default:
			t.Fatalf("%+q is shown with %q: %+q", words, found[0], shown)
		}
	}
}

// A title is harmless. It stays the same when it is shown again, unless it was cut.
func FuzzTitle(f *testing.F) {
	for _, words := range bait {
		f.Add(words)
		f.Add("see " + words + " now")
	}
	for _, words := range []string{"Offer v1.pdf", "Node.js", "Agreement (final), 12:30", "a\r\nBcc: b", "\u202emoc.live", "\xff\xfe", strings.Repeat("é", 300)} {
		f.Add(words)
	}
	f.Fuzz(func(t *testing.T, words string) {
		shown := templates.Title(words)
		harmless(t, words, shown, 100)
		if again := templates.Title(shown); again != shown && !strings.Contains(shown, "...") {
			t.Fatalf("%+q is shown as %+q, and that as %+q", words, shown, again)
		}
	})
}

// The names in messages are harmless, and a second cleaning does not change them unless they were cut: the name of the person who acted, the
// name in the greeting, and the name at a shared address.
func FuzzName(f *testing.F) {
	for _, words := range bait {
		f.Add(words, "Smith")
		f.Add("Ann", words)
		f.Add(words, words)
	}
	for _, name := range [][2]string{
		{"Jean-Luc", "D'Arcy"}, {"Gal·la", "O’Neill"}, {"evil", ".com"}, {"http:", "//evil.com"}, {"www", ".evil.com"}, {"a@", "b.com"}, {"+44", "20 7946 0000"},
		{"null", "null"}, {"null.", "com"}, {"Dr.", "Eric Smith"}, {"Smith,", "Eric"}, {"a\r\nBcc: b", "\x1b]8;;http://x\x07"}, {"\u202emoc", "live\u2066"}, {"\xff", "\xfe"},
		{"بهار\u200cه", "क्\u200dष"}, {strings.Repeat("é", 100), strings.Repeat("x.docx ", 20)}, {"pаypаl", "ｃｏｍ"},
	} {
		f.Add(name[0], name[1])
	}
	f.Fuzz(func(t *testing.T, first, last string) {
		written := first + " " + last
		shown := names(t, first, last, written)
		for what, name := range shown {
			harmless(t, written, name, templates.LongestName)
			again := names(t, name, "", name)[what]
			if what == "greeting" && again == "" {
				again = name // a first name alone can become shorter, but never another name
			}
			if again != name && !strings.Contains(name, "...") {
				t.Fatalf("%s: %+q is shown as %+q, and that as %+q", what, written, name, again)
			}
		}
	})
}

// names returns the names in a message about a person with this name.
func names(t *testing.T, first, last, actor string) map[string]string {
	t.Helper()
	acted, greeting, whose, err := templates.Names(&notifyv1.Notification{
		Kind: notifyv1.Kind_KIND_DECLINED, ActorName: actor, To: &notifyv1.Person{FirstName: first, LastName: last},
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"actor": acted, "greeting": greeting, "whose": whose}
}
