package pack_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestLongSecretsAndWholeValuesAreRedacted(t *testing.T) {
	t.Parallel()
	const long = `k/9+aB"c=dEf&gH`
	s := pack.NewSecrets("test", long, "demo", "12345", "api-key", "api-secret-of-some-length")
	for value, want := range map[string]string{
		"test": "[redacted]", "12345": "[redacted]", "demo": "[redacted]", "api-key": "[redacted]", long: "[redacted]",
		`["a","test",12345,12345]`: `["a","[redacted]","[redacted]","[redacted]"]`, `[{"k":"test"}]`: `[{"k":"[redacted]"}]`,
		"https://x.example/?k=" + long:                                "https://x.example/?k=[redacted]",
		"https://x.example/?k=k%2F9%2BaB%22c%3DdEf%26gH":              "https://x.example/?k=[redacted]",
		"api-secret-of-some-length, twice: api-secret-of-some-length": "[redacted], twice: [redacted]",
		"Test": "Test", "contest": "contest", "test ": "test ", "": "", "123456": "123456", `say "test"`: `say "test"`, `["contest"]`: `["contest"]`,
	} {
		got, found := s.Redact(value)
		if got != want || found != (value != want) {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
	for text, want := range map[string]string{
		`{"verification":"test","id":"1"}`:                     `{"verification":"[redacted]","id":"1"}`,
		`{"a":["test","test"], "n": 12345 ,"m":[12345,12345]}`: `{"a":["[redacted]","[redacted]"], "n": "[redacted]" ,"m":["[redacted]","[redacted]"]}`,
		`{"key":"k\/9+aB\"c=dEf&gH"`:                           `{"key":"[redacted]"`,
		`token=demo&token=demo&name=demonstration`:             `token=%5Bredacted%5D&token=%5Bredacted%5D&name=demonstration`,
		`token=%64emo&x=1;2&y=100%`:                            `token=%5Bredacted%5D&x=1;2&y=100%`,
		`data=%5B%7B%22a%22%3A%22demo%22%7D%5D&b=+`:            `data=%5B%7B%22a%22%3A%22%5Bredacted%5D%22%7D%5D&b=+`,
		`{"key":"\u0074est","url":"https://x?a=b"}`:            `{"key":"[redacted]","url":"https://x?a=b"}`,
		`{"broken": "a"b", "key":"test"`:                       `{"broken": "a"b", "key":"[redacted]"`,

		`=demo`: `=%5Bredacted%5D`,
		"--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\ndemo\r\n--b--": "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n[redacted]\r\n--b--",
		`{"title":"a test of 12345 things","n":123456,"contest":"latest"}`:           `{"title":"a test of 12345 things","n":123456,"contest":"latest"}`,
		`{"description":"\"test\" was sent"}`:                                        `{"description":"\"test\" was sent"}`,
	} {
		if got, found := s.RedactAll(text); got != want || found != (text != want) {
			t.Errorf("%s is\n%s, want\n%s", text, got, want)
		}
	}
	if !s.In("Bearer 12345x") || s.In("Bearer 1234") {
		t.Error("a header that contains a secret is not noticed")
	}
	none := pack.NewSecrets("")
	if got, found := none.RedactAll(`{"a":"","b":[]}`); found || none.In("") {
		t.Errorf("no secrets, and %q", got)
	}
}
