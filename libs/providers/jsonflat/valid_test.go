package jsonflat

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzValid compares the check with encoding/json's.
func FuzzValid(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `{}`, `[]`, `null`, `true`, `false`, `nul`, `truex`, `"`, `""`, `"a`, `{"a":1}`, `{"a":1,}`, `{"a" : [1 , {"b":null}] } `, `[1,]`, `[,1]`,
		`{"a"}`, `{a:1}`, `{"a":1 "b":2}`, `0`, `-`, `-0`, `01`, `1.`, `1.5`, `.5`, `1e`, `1e+`, `1E-7`, `1e5.`, `"\u00e9"`, `"\u00g9"`, `"\u12"`, `"\x"`, `"\`,
		"\"\x1f\"", "\"\x00\"", "\"\x7f\"", "\"a long text with a control character \x01 inside\"", "\"a long text without one, with \u00e9\"",
		`"exactly8"`, `"seven77"`, `"a quote at the end of eight\""`, `{"":{"":[]}}`, `[[[[[]]]]]`, `]`, `}`, "\ufeff{}", `1 2`, "{\"a\":\"\xff\"}",
		strings.Repeat("[", deepest) + strings.Repeat("]", deepest), strings.Repeat("[", deepest+1) + strings.Repeat("]", deepest+1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := valid(data), json.Valid(data); got != want {
			t.Errorf("%v, want %v: %q", got, want, data)
		}
	})
}

func BenchmarkValid(b *testing.B) {
	data := []byte(`{"id":"x-1","event":"recipient.opened","document_id":"PLSDOC00000001","opened_date":1741716330,"note":"` + strings.Repeat("x", 900) + `"}`)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			valid(data)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			json.Valid(data)
		}
	})
}
