package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// say prints one line for people. Ids come from providers: an id with control characters could move the cursor or fake a line, so invisible
// characters are printed escaped.
func (c *call) say(format string, args ...any) error {
	_, err := fmt.Fprintln(c.stdout, visible(fmt.Sprintf(format, args...)))
	return err
}

// visible escapes invisible characters, line breaks included.
func visible(text string) string { return escaped(text, "") }

// visibleLines escapes invisible characters and keeps line breaks and tabs.
func visibleLines(text string) string { return escaped(text, "\n\r\t") }

// escaped writes control characters, format characters (such as those that turn the direction of writing) and bytes that are no
// UTF-8 as Go does: \x1b, \u202e, \xff. It leaves the characters in keep unchanged.
func escaped(text, keep string) string {
	var b strings.Builder
	for i, r := range text {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			fmt.Fprintf(&b, `\x%02x`, text[i])
			continue
		}
		switch {
		case strings.ContainsRune(keep, r), !hidden(r):
			b.WriteString(text[i : i+size])
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// hidden reports whether a character is invisible or changes how others are displayed.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// visibleJSON is the same JSON with such characters escaped: they only occur inside strings.
func visibleJSON(line []byte) []byte {
	var b strings.Builder
	for _, r := range string(line) {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default: // a pair (RFC 8259, section 7)
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return []byte(b.String())
}

func (c *call) sayHeader(h nats.Header) error {
	for _, name := range sortedNames(h) {
		for _, value := range h[name] {
			if err := c.say("%s: %s", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// sayBody prints a body for people; --body prints it byte for byte.
func (c *call) sayBody(body []byte) error {
	_, err := io.WriteString(c.stdout, visibleLines(string(body)))
	return err
}
