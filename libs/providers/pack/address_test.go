package pack_test

import (
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"https://sign.example/1?e=1#x":       true,
		"http://127.0.0.1:8082/sign":         true,
		"HTTPS://sign.example":               true,
		"":                                   false,
		"sign.example/1":                     false,
		"/1":                                 false,
		"//sign.example/1":                   false,
		"https:///1":                         false,
		"https:sign.example":                 false,
		"javascript:alert(1)":                false,
		"data:text/html,x":                   false,
		"file:///etc/passwd":                 false,
		"https://sign.example@evil.example/": false,
		"https://sign.example/\n":            false,
		"https://sign.example/%zz":           false,
	} {
		if got := pack.Address(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
