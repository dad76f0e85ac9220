package templates

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// unlinked applies an expression only to a text with the characters that the expression needs. That changes no text.
func TestExpressionsThatAreLeftOutFindNothing(t *testing.T) {
	t.Parallel()
	all := func(s string) string {
		s = slashes.ReplaceAllString(scheme.ReplaceAllString(s, "$1: "), "/")
		s = quad.ReplaceAllStringFunc(strings.ReplaceAll(s, "@", " @ "), func(numbers string) string {
			if !isIP(numbers) {
				return numbers
			}
			return strings.ReplaceAll(numbers, ".", ". ")
		})
		return strings.Join(strings.Fields(cutNumbers(dotted(localhost.ReplaceAllString(s, "$1 $2")))), " ")
	}
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{
			".", "。", "｡", "．", ":", "/", "//", "://", "@", "www.", "com", "a", "Ж", "é", "local", "host", "LOCAL", "loCalHost", "0x7f", "127", "1", "255", "٤٤", "+", "(0)", "-", " ", "44 20 7946 0000", "Agreement",
		}),
		rapid.StringN(0, 3, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			s := strings.ToValidUTF8(strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), ""), " ")
			if got, want := unlinked(s), all(s); got != want {
				t.Fatalf("%+q is %+q, and with all expressions %+q", s, got, want)
			}
		}
	})
}

// A title that most documents have, as the text and the e-mail of an invitation contain it.
func BenchmarkTitle(b *testing.B) {
	for b.Loop() {
		if Title("PS Employment Agreement 2026") == "" {
			b.Fatal("empty")
		}
	}
}
