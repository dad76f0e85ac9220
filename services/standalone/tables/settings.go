package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
)

// chartOwn are the settings that the chart sets itself.
var chartOwn = []string{"admin", "data_dir", "templates"}

// settingsSchema adds each new section of settings to the schema of the chart's config. The chart sets the addresses of listeners itself.
func settingsSchema(old string, sections []config.Declared) (string, error) {
	list := regexp.MustCompile(`(?s)"config": \{\n.*?\n      "properties": \{\n.*?\n      \}\n    \}`)
	was := list.FindString(old)
	if was == "" {
		return "", errors.New("want the properties of config in it")
	}
	var names strings.Builder
	config.Names(&names, sections)
	is := was
	for line := range strings.Lines(names.String()) {
		key, _, _ := strings.Cut(line, ":")
		section, setting, _ := strings.Cut(key, ".")
		if slices.Contains(chartOwn, section) || setting == "addr" || strings.Contains(is, "\n        \""+section+`": {`) {
			continue
		}
		kind := "object"
		if setting == "" {
			kind = "string"
		}
		is = strings.TrimSuffix(is, "\n      }\n    }") + ",\n        \"" + section + `": {"type": "` + kind + "\"}\n      }\n    }"
	}
	return strings.Replace(old, was, is, 1), nil
}
