package index_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/index"
)

// What a search finds is marked in the text as its people wrote it.
func TestMarks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, query string
		number      bool
		want        string
	}{
		{text: "Jack Wilson", query: "wil", want: "Jack [Wil]son"},
		{text: "Jörg Großmann", query: "gross jorg", want: "[Jörg] [Groß]mann"},
		{text: "Willow Wil", query: "wil", want: "[Wil]low [Wil]"},
		{text: "Jane Wilma", query: "a", want: "Jane Wilma"},
		{text: "Ann Lee", query: "a", want: "[A]nn Lee"},
		{text: "+61 412 345 678", query: "0412 345", number: true, want: "+61 [412 345] 678"},
		{text: "0412 345 678", query: "+61 412 345 678", number: true, want: "0[412 345 678]"},
		{text: "0412 345 678", query: "wil", number: true, want: "0412 345 678"},
		{text: "aaaa", query: "aaa", want: "[aaa]a"},
		{text: "", query: "a", want: ""},
	} {
		got, at := "", 0
		for _, m := range index.Marks(c.text, c.query, c.number) {
			got, at = got+c.text[at:m[0]]+"["+c.text[m[0]:m[1]]+"]", m[1]
		}
		if got += c.text[at:]; got != c.want {
			t.Errorf("%q for %q: %s, want %s", c.text, c.query, got, c.want)
		}
	}
}

// Marks never leave the text and never overlap, whatever the text and the query are.
func TestMarksStayInTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, query, end := rapid.String().Draw(t, "text"), rapid.String().Draw(t, "query"), 0
		for _, m := range index.Marks(text, query, rapid.Bool().Draw(t, "number")) {
			if m[0] < end || m[1] <= m[0] || m[1] > len(text) {
				t.Fatalf("mark %v after %d of %d bytes", m, end, len(text))
			}
			end = m[1]
		}
	})
}
