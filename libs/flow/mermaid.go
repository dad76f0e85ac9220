package flow

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid draws producers and stages as the Mermaid flowchart of the README.
func Mermaid(producers []Producer, stages []Stage) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("flowchart LR")
	line("  providers([\"e-signature providers\"])")
	for _, d := range producers {
		line("  %s[\"%s<br/><small>%s</small>\"]", id(d.Name), d.Name, d.Purpose)
	}
	for _, s := range Streams {
		line("  %s[(\"%s\")]", s.Name, s.Name)
	}
	for _, s := range stages {
		line("  %s[\"%s<br/><small>%s</small>\"]", id(s.Name), s.Name, s.Purpose)
	}
	for _, d := range producers {
		if d.Receives != "" {
			line("  providers -->|%s| %s", d.Receives, id(d.Name))
		}
		for _, stream := range streamsOf(d.Publishes) {
			line("  %s --> %s", id(d.Name), stream)
		}
	}
	for _, s := range stages {
		line("  %s --> %s", s.Stream, id(s.Name))
		for _, stream := range streamsOf(s.Publishes) {
			line("  %s --> %s", id(s.Name), stream)
		}
		line("  %s -.->|given up| %s", id(s.Name), DLQ)
		line("  %s -.-> %s", Replay, id(s.Name))
	}
	line("  %s -.->|replayed by an operator| %s", DLQ, Replay)
	return b.String()
}

// id returns a name in the form that Mermaid accepts for a node.
func id(name string) string { return strings.ReplaceAll(name, "-", "_") }

// streamsOf returns the names of the streams with these subjects, in the order of the flow.
func streamsOf(subjects []string) []string {
	var names []string
	for _, s := range Streams {
		holds := func(subject string) bool {
			first, _, _ := strings.Cut(subject, ".")
			return slices.ContainsFunc(s.Subjects, func(own string) bool { return strings.HasPrefix(own, first+".") })
		}
		if slices.ContainsFunc(subjects, holds) {
			names = append(names, s.Name)
		}
	}
	return names
}
