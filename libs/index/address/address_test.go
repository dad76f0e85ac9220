package address_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/index/address"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		"sqlite:///data/index.db": "", "postgres://a:b@db/c": "", "postgresql://db/c": "", "postgres:///c?host=/run/postgresql": "",
		"sqlite://data/index.db": "three slashes", "sqlite:///": "three slashes", "sqlite:///data/": "three slashes", "sqlite:///a?mode=ro": "leave out",
		"postgres://": "the server", "mysql://db": "want sqlite", "/data/index.db": "want sqlite", "": "want sqlite", "://secret": "want a URL",
	} {
		_, err := address.Check(where)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", where, err, want)
		}
	}
}
