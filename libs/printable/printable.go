// Package printable escapes untrusted text so that a terminal only displays it. An id or a body can contain escape sequences, which move the
// cursor, set the window's title or make a link. Its line breaks can imitate a row of the output.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line escapes control characters (C0, C1, also as bytes), line breaks, format characters such as direction marks, and invalid UTF-8 as Go
// does: \x1b, \u202e, \xff.
func Line(text string) string { return escaped(text, "") }

// Lines works like Line, for a text with several lines: line feeds and tabs stay, and CR LF becomes a line feed.
func Lines(text string) string { return escaped(strings.ReplaceAll(text, "\r\n", "\n"), "\n\t") }

func escaped(text, keep string) string {
	if plainASCII(text, keep) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			fmt.Fprintf(&b, `\x%02x`, text[i])
			continue
		}
		switch {
		case strings.ContainsRune(keep, r), !Hidden(r):
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

func plainASCII(text, keep string) bool {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || c < ' ' && strings.IndexByte(keep, c) < 0 {
			return false
		}
	}
	return true
}

// Hidden reports whether a character is invisible or changes how other characters are displayed.
func Hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// JSON returns the same JSON with these characters escaped. They occur only inside strings. Line breaks between values stay.
func JSON(text []byte) []byte {
	if plainASCII(string(text), "\n") {
		return text
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n', !Hidden(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default: // a surrogate pair (RFC 8259, section 7)
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return []byte(b.String())
}

// Writer escapes its input like Lines and writes it to w.
func Writer(w io.Writer) io.Writer {
	return writer{w, func(p []byte) []byte { return []byte(Lines(string(p))) }}
}

// JSONWriter escapes JSON like JSON and writes it to w.
func JSONWriter(w io.Writer) io.Writer { return writer{w, JSON} }

type writer struct {
	to    io.Writer
	shown func([]byte) []byte
}

func (w writer) Write(p []byte) (int, error) {
	if _, err := w.to.Write(w.shown(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
