package templates_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/templates"
)

// What a linkifier looks for, in ASCII and ideographic dots; the tests with a real one look for more.
var (
	address = regexp.MustCompile(`\S@|@\S|//|(?i:(?:^|[^\pL\pN])www\.\S)|\pL:/|(?:[0-9]{1,3}\.){3}[0-9]`)
	domain  = regexp.MustCompile(`[\pL\pN][.\x{3002}\x{ff61}\x{ff0e}](\pL[\pL\pM]+)`)
)

// Whatever a stranger writes: a title is one line of at most 100 characters without controls or marks of direction, has nothing that
// is written as an address, and is shown the same again where it was not cut.
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
		if !utf8.ValidString(shown) || utf8.RuneCountInString(shown) > 100 || strings.Contains(shown, "  ") || strings.TrimSpace(shown) != shown {
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
		if again := templates.Title(shown); again != shown && !strings.Contains(shown, "...") {
			t.Fatalf("%+q is shown as %+q, and that as %+q", words, shown, again)
		}
	})
}
