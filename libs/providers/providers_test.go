package providers_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
)

func TestListIsSortedAndComplete(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range providers.All {
		names = append(names, p.Name)
		if got, ok := providers.ByName(p.Name); !ok || got.Name != p.Name {
			t.Errorf("%s is not found by name", p.Name)
		}
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(p.Name) || len(p.Routes) == 0 || p.Samples == nil || p.API == nil || p.Settings == nil || p.PerMinute <= 0 {
			t.Errorf("%s is incomplete", p.Name)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("%q are not sorted or not unique", names)
	}
	if _, ok := providers.ByName("acmesign"); ok {
		t.Error("found a pack for an unknown name")
	}
}

func TestNoPackWorksWithoutASecret(t *testing.T) {
	t.Parallel()
	for _, p := range providers.All {
		if w, err := p.Webhook(config.Source{Name: "acme", Provider: p.Name}); err == nil {
			t.Errorf("%s returned a %T without any secret", p.Name, w)
		}
	}
}
