package jsonflat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/jsonflat"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestEveryLeafHasItsOwnKey(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want map[string]string
	}{
		"an empty object":             {`{}`, nil},
		"space everywhere":            {" {\n\t\"a\" : 1 , \"b\":\r\n{ \"c\" : \"d\" } } ", map[string]string{"a": "1", "b.c": "d"}},
		"numbers keep their digits":   {`{"a":1.50,"b":1e3,"c":-0,"d":12345678901234567890}`, map[string]string{"a": "1.50", "b": "1e3", "c": "-0", "d": "12345678901234567890"}},
		"booleans and null":           {`{"a":true,"b":false,"c":null}`, map[string]string{"a": "true", "b": "false", "c": ""}},
		"a name with a dot":           {`{"render_data":{"Salesforce.Amount":"$100.00"}}`, map[string]string{"render_data.Salesforce.Amount": "$100.00"}},
		"two paths, one key":          {`{"a.b":"x","a":{"b":"y"},"a.b#2":"z"}`, map[string]string{"a.b": "x", "a.b#2": "y", "a.b#2#2": "z"}},
		"a taken second key":          {`{"a#2":"x","a":"y","A":"w","a":"z"}`, map[string]string{"a#2": "x", "a": "y", "A": "w", "a#3": "z"}},
		"one name three times":        {`{"a":1,"a":2,"a":3}`, map[string]string{"a": "1", "a#2": "2", "a#3": "3"}},
		"escapes":                     {`{"\u0061\"":"x\n\u00e9\\"}`, map[string]string{`a"`: "x\né\\"}},
		"arrays are compact JSON":     {`{"a":[ 1, "b ]", {"c" : [ ] } ],"d":[]}`, map[string]string{"a": `[1,"b ]",{"c":[]}]`, "d": "[]"}},
		"empty objects leave a trace": {`{"a":{ },"b":{"c":{}}}`, map[string]string{"a": "{}", "b.c": "{}"}},
		"an empty name":               {`{"":1,"a":{"":2},"b":{"":{"c":3}}}`, map[string]string{"": "1", "a.": "2", "b..c": "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := jsonflat.Parse([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, o.Attributes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTakenFieldsAreNotAttributes(t *testing.T) {
	t.Parallel()
	o, err := jsonflat.Parse([]byte(`{"id":"x","id":"y","contract":11602,"empty":"","none":null,"list":["z"],"yes":true,"more":{"id":"w"}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, key := range []string{"id", "contract", "empty", "none", "list", "yes", "more", "absent"} {
		got[key] = o.Take(key)
	}
	if diff := cmp.Diff(map[string]string{
		"id": "x", "contract": "11602", "empty": "", "none": "", "list": "", "yes": "", "more": "", "absent": "",
	}, got); diff != "" {
		t.Error("taken:", diff)
	}
	if diff := cmp.Diff(map[string]string{
		"id#2": "y", "empty": "", "none": "", "list": `["z"]`, "yes": "true", "more.id": "w",
	}, o.Attributes()); diff != "" {
		t.Error("left:", diff)
	}
}

func TestRepeatedFormFieldsAreKept(t *testing.T) {
	t.Parallel()
	o, err := jsonflat.Form(url.Values{"tag": {"x", "y"}, "name": {""}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tag": "x", "tag#2": "y", "name": ""}, o.Attributes()); diff != "" {
		t.Error(diff)
	}
	_, err = jsonflat.Form(url.Values{"tag": {"caf\xe9"}})
	wantUnreadable(t, err, "not-text", "")
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	object := func(b string) error { _, err := jsonflat.Parse([]byte(b)); return err }
	list := func(b string) error { _, err := jsonflat.Items([]byte(b)); return err }
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	array := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

	for _, ok := range []error{object(nested(64)), object(`{"a":` + array(64) + `}`), list(`[]`), list(`[{},{"a":1}]`), list(array(100_000))} {
		if ok != nil {
			t.Error("control:", ok)
		}
	}
	wantUnreadable(t, object(``), "not-json", "")
	wantUnreadable(t, object(`{"a":"secret`), "not-json", "byte 12")
	wantUnreadable(t, object(`{"a":1}x`), "not-json", "byte 8")
	wantUnreadable(t, object(`["a"]`), "not-json", "not a JSON object")
	wantUnreadable(t, object(`"secret"`), "not-json", "not a JSON object")
	wantUnreadable(t, object("{\"a\":\"\xff\"}"), "not-text", "")
	wantUnreadable(t, object(nested(65)), "too-deep", "deeper than 64")
	wantUnreadable(t, object(`{"a":`+array(65)+`}`), "too-deep", "deeper than 64")
	for _, broken := range []string{`{}`, `"secret"`, `5`} {
		wantUnreadable(t, list(broken), "not-json", "not a JSON array")
	}
	for _, broken := range []string{
		`[`, `[{"a":1},{"secret`, `[{"a":"secret},{}]`, `[{"a":1}`, `[[]`, `["\"]`, `[{"a":1}]secret`, `[{"a":1}}`, `[{]}]`, `[]]`,
	} {
		wantUnreadable(t, list(broken), "not-json", "no JSON from byte")
	}
	wantUnreadable(t, list("\xff"), "not-text", "")
	for text, encoding := range map[string]string{
		"\xff\xfe{\x00}\x00": "UTF-16LE", "{\x00}\x00": "UTF-16LE", "\xfe\xff\x00{\x00}": "UTF-16BE", "\x00[\x00]": "UTF-16BE", "\xff\xfe": "UTF-16LE",
	} {
		wantUnreadable(t, object(text), "utf-16", encoding)
		wantUnreadable(t, list(text), "utf-16", encoding)
	}

	// 10,000 leaves below one name of 10,000 bytes would be 100 MB.
	long := `{"` + strings.Repeat("n", 10_000) + `":{` + strings.Repeat(`"a":1,`, 9_999) + `"a":1}}`
	wantUnreadable(t, object(long), "too-large", "")
}

// One broken item must not affect the others: Items does not parse the items.
func TestItemsAreSplitWithoutParsing(t *testing.T) {
	t.Parallel()
	for data, want := range map[string][]string{
		`[]`: nil, " [ ] ": nil, `[,]`: nil,
		`[{"a":1}]`:                           {`{"a":1}`},
		"\ufeff[{\"a\":1} ,\r\n5,\tnull ]":    {`{"a":1}`, "5", "null"},
		`[{"a":"]},[{\""},["b,c",{"d":[]}]]`:  {`{"a":"]},[{\""}`, `["b,c",{"d":[]}]`},
		`[{"a":tru},{"a":1}{"b":2},,{},]`:     {`{"a":tru}`, `{"a":1}{"b":2}`, `{}`},
		"[{\"a\":\"\xff\"},{\"b\":\"\\\\\"}]": {"{\"a\":\"\xff\"}", `{"b":"\\"}`},
		"[\x00,{}]":                           {"\x00", "{}"},
	} {
		items, err := jsonflat.Items([]byte(data))
		var got []string
		for _, item := range items {
			got = append(got, string(item))
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", data, err, diff)
		}
	}
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	t.Parallel()
	o, err := jsonflat.Parse([]byte("\ufeff {\"a\":\"\ufeffb\"}"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "\ufeffb"}, o.Attributes()); diff != "" {
		t.Error(diff)
	}
}

func wantUnreadable(t *testing.T, err error, reason, detail string) {
	t.Helper()
	var u *pack.UnreadableError
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want %s", err, reason)
	}
	if u.Reason != reason || !strings.Contains(u.Detail, detail) || strings.Contains(u.Detail, "secret") {
		t.Errorf("got %v, want %s: %s", u, reason, detail)
	}
}

// FuzzParse compares with encoding/json: both accept the same bytes, and return the same leaves in the same order.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":[1,{"c":"]"}]},"d":null}`, `{"a":"\ud800\"","":{"":{}}}`, ` { "a" : -1.5e+3 } `, `[{}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := jsonflat.Parse(data)
		if err != nil {
			var u *pack.UnreadableError
			if !errors.As(err, &u) {
				t.Fatalf("%T is not an UnreadableError", err)
			}
			readable := utf8.Valid(data) && json.Valid(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
			if readable != (u.Reason == "too-deep" || u.Reason == "too-large") {
				t.Fatalf("%v", u)
			}
			return
		}
		want := leaves(t, data)
		attributes := o.Attributes()
		var got []string
		for key := range o.Keys() {
			got = append(got, attributes[key])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// leaves returns the texts of an object's leaves as encoding/json reads them, in their order.
func leaves(t *testing.T, data []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the opening brace
		t.Fatal(err)
	}
	var found []string
	for d.More() {
		var raw json.RawMessage
		if _, err := d.Token(); err != nil { // the name
			t.Fatal(err)
		}
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		switch raw[0] {
		case '{':
			inner := leaves(t, raw)
			if inner == nil {
				inner = []string{"{}"}
			}
			found = append(found, inner...)
		case '[':
			var compact bytes.Buffer
			_ = json.Compact(&compact, raw)
			found = append(found, compact.String())
		case '"':
			var s string
			_ = json.Unmarshal(raw, &s)
			found = append(found, s)
		case 'n':
			found = append(found, "")
		default:
			found = append(found, string(raw))
		}
	}
	return found
}
