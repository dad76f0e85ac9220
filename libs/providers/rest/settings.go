package rest

import (
	"errors"
	"fmt"
	"strings"
)

// Setting is a key under a source's api, and its value.
type Setting struct{ Key, Value string }

// Require checks that all settings are present and valid in a header. Its error names keys, never values.
func Require(settings ...Setting) error {
	var missing []string
	var mistakes []error
	for _, s := range settings {
		switch {
		case s.Value == "":
			missing = append(missing, "api."+s.Key)
		case strings.ContainsFunc(s.Value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			mistakes = append(mistakes, fmt.Errorf("api.%s contains a line break or another control character", s.Key))
		}
	}
	if len(missing) > 0 {
		mistakes = append(mistakes, fmt.Errorf("%s not set: the REST API requires it", strings.Join(missing, " and ")))
	}
	return errors.Join(mistakes...)
}
