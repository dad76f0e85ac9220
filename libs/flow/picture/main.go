// Command picture writes the flow's picture into the README, between the lines "<!-- flow -->" and "<!-- /flow -->".
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/signrelay/signrelay/libs/flow"
)

const (
	opening = "<!-- flow -->\n"
	closing = "<!-- /flow -->"
)

func main() {
	path := flag.String("write", "README.md", "the file to write into")
	flag.Parse()
	if err := write(*path); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(data), opening)
	_, after, foundEnd := strings.Cut(rest, closing)
	if !found || !foundEnd {
		return fmt.Errorf("%s has no lines %q and %q", path, strings.TrimSpace(opening), closing)
	}
	text := before + opening + "```mermaid\n" + flow.Mermaid(flow.Producers, flow.Stages) + "```\n" + closing + after
	if text == string(data) {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o600)
}
