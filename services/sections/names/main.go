// Command names writes the names of all settings for the Helm chart, which refuses unknown settings before it installs
// anything.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
)

func main() {
	path := flag.String("write", "settings.yaml", "the file to write")
	flag.Parse()
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from the services' sections of settings: change it there. A setting that is a file may be a key of a Secret.\n")
	config.Names(&b, sections.All)
	if err := os.WriteFile(*path, []byte(b.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "names:", err)
		os.Exit(1)
	}
}
