package templates

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
)

// Check opens the texts. It fails for each source whose locale has no texts, because its people would get English texts.
func Check(cfg config.Config) error {
	set, err := Open(cfg.Templates.Dir)
	if err != nil {
		return err
	}
	there := set.locales()
	var errs []error
	for i, s := range cfg.Sources {
		found := slices.ContainsFunc(lineage(s.Locale), func(tag string) bool { return slices.Contains(there, tag) })
		if !found && s.Locale != "" {
			errs = append(errs, fmt.Errorf("sources[%d].locale: there are no texts in %q, only in %s: want one of these, or your own texts in templates.dir",
				i, s.Locale, strings.Join(there, ", ")))
		}
	}
	return errors.Join(errs...)
}

// locales returns the locales that have texts, in lower case.
func (s *Set) locales() []string {
	all := map[string]bool{}
	for name := range s.messages {
		locale, _, _ := strings.Cut(name, "/")
		all[locale] = true
	}
	return slices.Sorted(maps.Keys(all))
}
