package templates_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// signed returns the beginning of the progress message about a person with that name, up to the name.
func signed(t *testing.T, name string) string {
	t.Helper()
	n := example(notifyv1.Kind_KIND_PROGRESS)
	n.ActorName = name
	text, err := builtin(t).SMS(n)
	if err != nil {
		t.Fatal(err)
	}
	shown, _, found := strings.Cut(text, " has signed")
	if !found {
		t.Fatalf("%q", text)
	}
	return shown
}

func TestDisplayedNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 56)
	const scotland = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
	for name, want := range map[string]string{
		"Eric Smith":                       "Eric Smith",
		"Zoë O'Brien-Łukasz":               "Zoë O'Brien-Łukasz",
		"می\u200cخواهم":                    "می\u200cخواهم",
		"क्\u200dष":                        "क्\u200dष",
		"👩\u200d🚀 ❤\ufe0f":                 "👩\u200d🚀 ❤\ufe0f",
		"葛\U000e0100飾":                     "葛\U000e0100飾", // a variant of the character, as in registers
		"J.R.R. Tolkien":                   "J.R.R. Tolkien",
		"{{.Link}} {{define \"x\"}}":       "{{. Link}} {{define \"x\"}}", // shown, not interpreted
		"<b>Eric</b>":                      "<b>Eric</b>",
		" \t\r\n Eric \v\f\u0085\u00a0 S ": "Eric S",
		"Eric\u2028\u2029S\x00\x07\x1b":    "Eric S",
		"\u202eEric\u202c \u2066S\u2069":   "Eric S",
		"\u061c\u200eEric\u200f":           "Eric",
		"E\u200br\u2060i\ufeffc\u00ad":     "Eric",
		"E\u034fr\u115fi\u3164c\u2800":     "Eric",
		"Eric\U000e0041\U000e0042":         "Eric", // tags, which can hide whole sentences
		"Eric\ue000\U000f0000\uffff":       "Eric",
		"Eric \xff\xfe":                    "Eric",
		"\u200d\u200c\u0301\ufe0f":         "Somebody",
		"\u202e":                           "Somebody",
		long + "xxxx":                      long + "xxxx",
		long + "xxxxx":                     long + "x...",
		long + "e\u0301\u0302yyyy":         long + "...",
		long + "👩\u200d🚀xx":                long + "...",
		long + " 👍🏿xxx":                    long + "...",
		long + "🇩🇪xxx":                     long + "...",
		long[:54] + "🇩🇪🇫🇷xxx":              long[:54] + "🇩🇪...",
		long + "1\ufe0f\u20e3xx":           long + "...",
		long + "\u1100\u1161\u11a8xx":      long + "...", // a syllable of three letters
		scotland + " Eric":                 scotland + " Eric",
		long + scotland:                    long + "...",
		long + "👨\u200d👩\u200d👧":           long + "...",
		strings.Repeat("\u0301", 99) + "x": "...",
	} {
		if got := signed(t, name); got != want {
			t.Errorf("%+q is shown as %+q, want %+q", name, got, want)
		}
	}
}

// Texts that phones and mail programs would turn into links. Signrelay's link must be the only one in a message.
func TestNoLinkButOurs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Eric http://evil.example/x": "Eric http: evil. example/x",
		"HTTPS://EVIL.example":       "HTTPS: EVIL. example",
		"www.evil.example":           "www. evil. example",
		"evil.example":               "evil. example",
		"Dr.Smith":                   "Dr. Smith",
	} {
		if got := signed(t, name); got != want {
			t.Errorf("the name %q is shown as %q, want %q", name, got, want)
		}
	}
	for title, want := range map[string]string{
		"click http://evil.example":   "click http: evil. example",
		"(https://evil.example/x.y)":  "(https: evil. example/x.y)",
		"see www.evil.example now":    "see www. evil. example now",
		"bit.ly/2131NDa":              "bit. ly/2131NDa",
		"evil.example:8080/x":         "evil. example: 8080/x",
		"Acme.com Terms":              "Acme. com Terms",
		"Offer v1.2 (final).pdf":      "Offer v1.2 (final).pdf",
		"A/B-Test: either/or 3.5/4.0": "A/B-Test: either/or 3.5/4.0",
	} {
		n := example(notifyv1.Kind_KIND_INVITATION)
		n.DocumentTitle = title
		got, err := builtin(t).SMS(n)
		if err != nil || !strings.Contains(got, `sent "`+want+`" by`) || strings.Count(got, "://") != 1 {
			t.Errorf("the title %q is shown as %q, want %q: %v", title, got, want, err)
		}
	}
}

func TestAnEmailIsHarmlessInEveryPart(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"en", "de"} {
		for number := range notifyv1.Kind_name {
			kind := notifyv1.Kind(number)
			if kind == notifyv1.Kind_KIND_UNSPECIFIED {
				continue
			}
			n := example(kind)
			evil := "</title><script>alert(1)</script>\" onload=x {{.Link}}\r\nBcc: x\u202e"
			n.Locale, n.DocumentTitle, n.SenderName, n.ActorName, n.To.FirstName = locale, evil, evil, evil, evil
			n.DocumentTitle = strings.Repeat(evil, 1000)
			subject, text, html, err := builtin(t).Email(n)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(subject, "\r\n\u202e") || strings.Contains(text, "\u202e") || utf8.RuneCountInString(subject) > 300 {
				t.Errorf("%v in %s: subject %q, text %q", kind, locale, subject, text)
			}
			if strings.Contains(html, "<script") || strings.Contains(html, `" onload`) || !strings.Contains(html, "&lt;script&gt;") {
				t.Errorf("%v in %s: html %s", kind, locale, html)
			}
			if !strings.Contains(html, `<html lang="`+locale+`"`) {
				t.Errorf("%v has no e-mail in %s", kind, locale)
			}
		}
	}
}
