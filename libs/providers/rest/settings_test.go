package rest_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/rest"
)

func TestRequire(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		key, secret string
		want        []string // parts of the error; empty for no error
	}{
		"both":           {"k", "s", nil},
		"one":            {"k", "", []string{"api.secret"}},
		"neither":        {"", "", []string{"api.key and api.secret"}},
		"a line break":   {"word\n", "s", []string{"api.key", "control character"}},
		"one and a half": {"word\r\nX-Other: 1", "", []string{"api.key", "control character", "api.secret"}},
	} {
		err := rest.Require(rest.Setting{Key: "key", Value: tt.key}, rest.Setting{Key: "secret", Value: tt.secret})
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "word") {
				t.Errorf("%s: %v, without %q", name, err, part)
			}
		}
	}
}
