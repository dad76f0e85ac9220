package pack_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestAFieldsNameHasNoByteOrderMark(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]url.Values{
		"\ufeffa=1&b=2":                          {"a": {"1"}, "b": {"2"}},
		"%EF%BB%BFa=%EF%BB%BF1":                  {"a": {"\ufeff1"}},
		"%EF%BB%BFa=2&a=1&%EF%BB%BF%EF%BB%BFa=3": {"a": {"1", "2", "3"}},
		"a\ufeff=1":                              {"a\ufeff": {"1"}},
	} {
		got, err := pack.ParseForm(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	if got, err := pack.ParseForm("\ufeffa=1&b=%zz"); err == nil || got.Get("a") != "1" {
		t.Errorf("%v, %v", got, err)
	}
}
