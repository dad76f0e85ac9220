package gsm7

import (
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	t.Parallel()
	a, euro, polish, pen := strings.Repeat("a", 1000), strings.Repeat("€", 1000), strings.Repeat("ł", 1000), strings.Repeat("🖋", 1000)
	cut := func(s string, runes int) string { return string([]rune(s)[:runes]) }
	for _, test := range []struct {
		name, text string
		kind       string
		parts      int
	}{
		{"nothing", "", "text", 1},
		{"an invitation", `You've been sent "Offer" by PactSafe. Please review & sign: https://x.example/l/abc`, "text", 1},
		{"all of the alphabet", alphabet, "text", 1},
		{"all of its extension", extension, "text", 1},

		{"a full message", cut(a, 160), "text", 1},
		{"one septet more", cut(a, 161), "text", 2},
		{"two full parts", cut(a, 306), "text", 2},
		{"three parts", cut(a, 307), "text", 3},
		{"a full message of pairs", cut(euro, 80), "text", 1},
		{"one pair more", cut(euro, 81), "text", 2},
		{"pairs leave a septet of each part empty", cut(euro, 152), "text", 2},
		{"so a third part is needed", cut(euro, 153), "text", 3},
		{"a pair at the end of a full message", cut(a, 158) + "€", "text", 1},
		{"a pair across its end", cut(a, 159) + "€", "text", 2},
		{"a pair up to the end of a part", cut(a, 151) + "€" + cut(a, 153), "text", 2},
		{"a pair across the end of a part", cut(a, 152) + "€" + cut(a, 152), "text", 3},

		{"a full message of units", cut(polish, 70), "unicode", 1},
		{"one unit more", cut(polish, 71), "unicode", 2},
		{"two full parts of units", cut(polish, 134), "unicode", 2},
		{"three parts of units", cut(polish, 135), "unicode", 3},
		{"a full message of surrogates", cut(pen, 35), "unicode", 1},
		{"one emoji more", cut(pen, 36), "unicode", 2},
		{"surrogates leave a unit of each part empty", cut(pen, 66), "unicode", 2},
		{"so a third part is needed too", cut(pen, 67), "unicode", 3},
		{"an emoji up to the end of a part", cut(polish, 65) + "🖋" + cut(polish, 67), "unicode", 2},
		{"an emoji across the end of a part", cut(polish, 66) + "🖋" + cut(polish, 66), "unicode", 3},
		{"one letter makes the whole text UCS-2", cut(a, 159) + "ł", "unicode", 3},
		{"an extension costs one unit there", cut(euro, 69) + "ł", "unicode", 1},

		{"western letters and signs", "Zoé, Ærø & Größe: 5 € [~] {^} \\ |", "text", 1},
		{"a letter that is missing", "Zoë", "unicode", 1},
		{"only the capital is in the alphabet", "ç", "unicode", 1},
		{"typographer's quotes", "smart ’quotes’", "unicode", 1},
		{"a grave accent alone", "`", "unicode", 1},
		{"a tab", "\t", "unicode", 1},
		{"half a character", "a\xff", "unicode", 1},
	} {
		parts, unicode := Parts(test.text)
		kind := "text"
		if unicode {
			kind = "unicode"
		}
		if kind != test.kind || parts != test.parts {
			t.Errorf("%s: %d parts of %s, want %d of %s", test.name, parts, kind, test.parts, test.kind)
		}
	}
	if n := len([]rune(alphabet + extension)); n != 127+10 { // 128 less the escape, and the extension
		t.Errorf("the alphabet has %d characters", n)
	}
}

// A link at the end of a text, and where it begins and ends.
func TestPartAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []int // of its first and its last byte
	}{
		"alone":                       {strings.Repeat("a", 160), []int{1, 1}},
		"two parts":                   {strings.Repeat("a", 161), []int{1, 2}},
		"three parts":                 {strings.Repeat("a", 307), []int{1, 3}},
		"two parts of UCS-2":          {"Ł" + strings.Repeat("a", 70), []int{1, 2}},
		"alone in UCS-2":              {"Ł" + strings.Repeat("a", 69), []int{1, 1}},
		"an escape that is not split": {strings.Repeat("a", 152) + "€" + strings.Repeat("a", 10), []int{1, 2}},
	} {
		if got := []int{PartAt(c.text, 0), PartAt(c.text, len(c.text)-1)}; got[0] != c.want[0] || got[1] != c.want[1] {
			t.Errorf("%s: parts %v, want %v", name, got, c.want)
		}
	}
	if got := PartAt(strings.Repeat("a", 152)+"€", 152); got != 1 {
		t.Errorf("a text of 154 septets fits alone, and its last is in part %d", got)
	}
	if got := PartAt(strings.Repeat("a", 152)+"€"+strings.Repeat("a", 10), 152); got != 2 {
		t.Errorf("the escape is in part %d", got)
	}
}
