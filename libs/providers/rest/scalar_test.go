package rest_test

import (
	"encoding/json"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/rest"
)

func TestScalarsReadWhateverTheyAreGiven(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]struct {
		text   rest.Text
		yes    rest.Yes
		number rest.Number
	}{
		`"a\u00e9"`:     {text: "aé"},
		`""`:            {},
		`12`:            {text: "12", number: 12},
		`"12"`:          {text: "12", number: 12},
		`-3`:            {text: "-3", number: -3},
		`1`:             {text: "1", yes: true, number: 1},
		`"1"`:           {text: "1", yes: true, number: 1},
		`1.5`:           {text: "1.5"},
		`99999999999`:   {text: "99999999999", number: 1<<31 - 1},
		`true`:          {yes: true},
		`"True"`:        {text: "True", yes: true},
		`false`:         {},
		`"false"`:       {text: "false"},
		`null`:          {},
		`[1]`:           {},
		`{"true":true}`: {},
	} {
		got := struct {
			Text   rest.Text
			Yes    rest.Yes
			Number rest.Number
		}{"before", true, 7}
		if err := json.Unmarshal([]byte(`{"Text":`+data+`,"Yes":`+data+`,"Number":`+data+`}`), &got); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if got.Text != want.text || got.Yes != want.yes || got.Number != want.number {
			t.Errorf("%s reads as %+v, want %+v", data, got, want)
		}
	}
	if got := rest.First("", "a", "b"); got != "a" {
		t.Error(got)
	}
}

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
		if got := rest.Address(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for body, want := range map[string]string{`{"url":"https://x","id":1}`: "https://x", `{"url":null}`: "", `{}`: "", `[]`: "", `x`: ""} {
		if got := rest.URLIn([]byte(body)); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}
