package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
)

// units lists the systemd units in the manual.
func units(old string, services []service.Service, sections []config.Declared) (string, error) {
	table := regexp.MustCompile(`(?s)(<!-- units: made by make generate -->\n).*?(<!-- end of units -->)`)
	if len(table.FindAllString(old, -1)) != 1 {
		return "", errors.New("want one table between <!-- units: made by make generate --> and <!-- end of units -->")
	}
	defaults := config.Default(sections...)
	var b strings.Builder
	b.WriteString("| unit | program | admin address, on loopback | also listens by default at |\n|---|---|---|---|\n")
	for i, s := range services {
		var at []string
		for _, l := range s.Listeners {
			at = append(at, strings.TrimPrefix(defaults.Text(l.Key), ":")+" ")
		}
		program := "`" + s.Name + "`"
		if s.DemoOnly {
			program += ", for trials; not in the target"
		}
		fmt.Fprintf(&b, "| `signrelay-%s` | %s | %d | %s|\n", s.Name, program, adminPort(i), strings.ReplaceAll(strings.Join(at, ", "), " ,", ","))
	}
	b.WriteString("| `signrelay-provision` | `signrelay provision`, then exits | | |\n")
	fmt.Fprintf(&b, "| `signrelay-standalone` | `signrelay run`: all in one process, instead of the target | %d | 8080 |\n", standalonePort)
	return table.ReplaceAllStringFunc(old, func(found string) string {
		marks := table.FindStringSubmatch(found)
		return marks[1] + b.String() + marks[2]
	}), nil
}
