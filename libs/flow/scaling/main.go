// Command scaling writes the part of the flow that the Helm chart needs: each stage with its consumers and its workers. The chart makes the
// KEDA triggers from it.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/signrelay/signrelay/libs/flow"
)

func main() {
	path := flag.String("write", "flow.yaml", "the file to write")
	flag.Parse()
	if err := os.WriteFile(*path, []byte(stages()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

// stages returns the table as YAML, by the stages' names, in the order of the flow.
func stages() string {
	var b strings.Builder
	b.WriteString("# Made by \"make generate\" from libs/flow: change it there.\n")
	for _, s := range flow.Stages {
		fmt.Fprintf(&b, "%s:\n", s.Name)
		fmt.Fprintf(&b, "  service: %s # that runs it\n", s.Program())
		fmt.Fprintf(&b, "  consumer: %s # on each of the streams\n", s.Name)
		fmt.Fprintf(&b, "  streams: [%s, %s]\n", s.Stream, flow.Replay)
		fmt.Fprintf(&b, "  workers: %d # in one replica\n", s.Workers)
		fmt.Fprintf(&b, "  ordered: %t\n", s.Ordered)
	}
	return b.String()
}
