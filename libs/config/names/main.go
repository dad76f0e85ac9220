// Command names writes the names of all settings for the Helm chart, which refuses those that there are not before it installs
// anything.
package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
)

func main() {
	path := flag.String("write", "settings.yaml", "the file to write")
	flag.Parse()
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from libs/config: change it there. A setting that is a file may be a key of a Secret.\n")
	list(&b, "", reflect.TypeFor[config.Config]())
	if err := os.WriteFile(*path, []byte(b.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "names:", err)
		os.Exit(1)
	}
}

// list writes the settings below a key, in their own order; a source's are sources.<setting>, whichever source it is.
func list(b *strings.Builder, above string, of reflect.Type) {
	for i := range of.NumField() {
		field := of.Field(i)
		key, kind := above+field.Tag.Get("yaml"), field.Type
		if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct {
			kind = kind.Elem()
		}
		switch {
		case field.Tag.Get("yaml") == "-":
		case kind.Kind() == reflect.Struct:
			list(b, key+".", kind)
		case field.Tag.Get("secret") != "" || field.Tag.Get("file") != "":
			fmt.Fprintf(b, "%s: file\n", key)
		default:
			fmt.Fprintf(b, "%s: text\n", key)
		}
	}
}
