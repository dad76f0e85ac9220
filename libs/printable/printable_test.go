package printable_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/printable"
)

// For any input, the output contains no control characters except line feeds and tabs, and escaped JSON keeps its meaning.
func TestATerminalGetsNoControlCharacters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\x1b[2Jb": `a\x1b[2Jb`, "\x1b]8;;http://x\x07y": `\x1b]8;;http://x\x07y`, "\u009b31m": `\x9b31m`, "\x9b31m": `\x9b31m`, "a\r\nb\rc": "a\nb\\x0dc",
		"\u202e\u2066\u200b": `\u202e\u2066\u200b`, "Zoë 李\t1": "Zoë 李\t1", "\x7f\u2028": `\x7f\u2028`,
	} {
		if got := printable.Lines(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		var shown bytes.Buffer
		if n, err := printable.Writer(&shown).Write([]byte(raw)); err != nil || n != len(raw) {
			t.Fatal(n, err)
		}
		hidden := func(r rune) bool { return r != '\n' && r != '\t' && printable.Hidden(r) }
		if strings.ContainsFunc(shown.String(), hidden) || strings.ContainsFunc(printable.Line(raw), printable.Hidden) {
			t.Fatalf("%q is shown as %q", raw, shown.String())
		}
		line, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		var same, again string
		if json.Unmarshal(line, &same) != nil || json.Unmarshal(printable.JSON(line), &again) != nil || same != again || bytes.ContainsFunc(printable.JSON(line), hidden) {
			t.Fatalf("%q is %q", line, printable.JSON(line))
		}
	})
}
