package pack

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	formValue  = regexp.MustCompile(`(?:^|[&?])[^=&?\s"]*=[^&\s"]+`)
)

// simplyRedacted is RedactAll in its simplest form: it decodes all values, and applies all expressions.
func simplyRedacted(s Secrets, text string) string {
	redact := func(value string) (string, bool) {
		for _, secret := range s.values {
			if value == secret {
				return Redacted, true
			}
		}
		if strings.HasPrefix(value, "[") {
			redacted := simplyRedacted(s, value)
			return redacted, redacted != value
		}
		redacted := s.redactLong(value)
		return redacted, redacted != value
	}
	text = jsonString.ReplaceAllStringFunc(s.redactLong(text), func(literal string) string {
		var value string
		if json.Unmarshal([]byte(literal), &value) == nil {
			if value, found := redact(value); found {
				return quote(value)
			}
		}
		return literal
	})
	text = formValue.ReplaceAllStringFunc(text, func(pair string) string {
		name, encoded, _ := strings.Cut(pair, "=")
		if value, err := url.QueryUnescape(encoded); err == nil {
			if value, found := redact(value); found {
				return name + "=" + url.QueryEscape(value)
			}
		}
		return pair
	})
	for _, one := range s.short {
		for _, v := range one.values {
			text = v.where.ReplaceAllString(v.where.ReplaceAllString(text, v.replacement), v.replacement)
		}
	}
	return text
}

// What RedactAll leaves out, because a text cannot have a secret there, changes nothing.
func TestRedactAllFindsWhatTheExpressionsFind(t *testing.T) {
	t.Parallel()
	s := NewSecrets("test", "12345", `a"\b`, "t", "a-secret-of-some-length", `long/with"quotes\and=`)
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{
			`"`, `\`, `\"`, `\\`, `\u0074est`, `\u`, `\n`, "\n", "\r\n", " ", "\t", "=", "&", "?", "%", "%74est", "+", "[", "]", "{", "}", ",", ":", `"test"`, "test", "contest", "12345", "123456",
			`a"\b`, `a\"\\b`, "t", "a-secret-of-some-length", "a-secret-of-some%2dlength", `long/with"quotes\and=`, `long\/with\"quotes\\and=`, "a=", "&a=", "?a=", "é", "\xff", "--", "https://x.example/?a=test",
		}),
		rapid.StringN(0, 3, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
			got, found := s.RedactAll(text)
			want := simplyRedacted(s, text)
			if got != want || found != (got != text) {
				t.Fatalf("%q became\n%q, want\n%q", text, got, want)
			}
			if body, _ := s.RedactBody([]byte(text)); string(body) != want {
				t.Fatalf("the body %q became\n%q, want\n%q", text, body, want)
			}
		}
	})
}

// Bodies that need a closer look, because they have an escaped character, a percent sign, or a short secret as a part of a word. A body of many
// quotation marks costs no more than others of its length.
func BenchmarkRedactBody(b *testing.B) {
	s := NewSecrets("test", "demo-key", "demo-secret")
	body := `{"type":"webhook","event_type":"request_sent","description":"%s sent \"Example Contract\"","site":2,"activity":"5a26bbf9e623117c","url":"https://x.example/a?b=c&d=e","note":"` +
		strings.Repeat("the latest contest ", 40) + `"}`
	for name, text := range map[string]string{
		"plain": strings.ReplaceAll(body, "test", "last"), "escaped": strings.Replace(body, "%s", `Ren\u00e9`, 1), "part": body, "quotes": strings.Repeat(`\"`, len(body)/2) + `%`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s.RedactBody([]byte(text))
			}
		})
	}
}
