package rest_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/rest"
)

func TestScalarsAcceptAnyValue(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]struct {
		text   rest.Text
		yes    rest.Yes
		no     rest.No
		number rest.Number
	}{
		`0`:             {text: "0", no: true},
		`"0"`:           {text: "0", no: true},
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
		`false`:         {no: true},
		`"False"`:       {text: "False", no: true},
		`null`:          {},
		`[1]`:           {},
		`{"true":true}`: {},
	} {
		got := struct {
			Text   rest.Text
			Yes    rest.Yes
			No     rest.No
			Number rest.Number
		}{"before", true, true, 7}
		if err := json.Unmarshal([]byte(`{"Text":`+data+`,"Yes":`+data+`,"No":`+data+`,"Number":`+data+`}`), &got); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if got.Text != want.text || got.Yes != want.yes || got.No != want.no || got.Number != want.number {
			t.Errorf("%s reads as %+v, want %+v", data, got, want)
		}
	}
	if got := rest.First("", "a", "b"); got != "a" {
		t.Error(got)
	}
}

func TestObjectsAndListsAcceptAnyValue(t *testing.T) {
	t.Parallel()
	type named struct{ Name rest.Text }
	strict := struct {
		Objects rest.List[rest.Object[struct{ Count int }]]
		List    rest.List[struct{ Count int }]
	}{}
	if err := json.Unmarshal([]byte(`{"Objects":[{"count":"x"},{"count":1}],"List":[{"count":"x"},{"count":1}]}`), &strict); err != nil ||
		len(strict.Objects) != 2 || strict.Objects[0].Fields.Count != 0 || strict.Objects[1].Fields.Count != 1 ||
		len(strict.List) != 2 || strict.List[0].Count != 0 || strict.List[1].Count != 1 {
		t.Errorf("%+v, %v", strict, err)
	}
	for data, want := range map[string]struct {
		object string
		list   []string // nil if it reads as missing
	}{
		`{"name":"a"}`:                     {object: "a"},
		`{"name":[]}`:                      {},
		`{}`:                               {},
		`null`:                             {},
		`"a"`:                              {},
		`7`:                                {},
		`true`:                             {},
		`[]`:                               {list: []string{}},
		`[{"name":"a"},null,{"name":"b"}]`: {list: []string{"a", "b"}},
		`["x",7,[],{},false,{"name":"b"}]`: {list: []string{"", "", "", "", "", "b"}},
		`[null]`:                           {list: []string{}},
		`[{"name":{"name":"a"}}]`:          {list: []string{""}},
	} {
		got := struct {
			Object rest.Object[named]
			List   rest.List[named]
		}{rest.Object[named]{Fields: named{"before"}}, rest.List[named]{{"before"}}}
		if err := json.Unmarshal([]byte(`{"Object":`+data+`,"List":`+data+`}`), &got); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		var list []string
		if got.List != nil {
			list = []string{}
		}
		for _, entry := range got.List {
			list = append(list, string(entry.Name))
		}
		if string(got.Object.Fields.Name) != want.object || (list == nil) != (want.list == nil) || !slices.Equal(list, want.list) {
			t.Errorf("%s reads as %+v and %q", data, got.Object, list)
		}
	}
}

func TestURLIn(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{`{"url":"https://x","id":1}`: "https://x", `{"url":null}`: "", `{}`: "", `[]`: "", `x`: ""} {
		if got := rest.URLIn([]byte(body)); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}
