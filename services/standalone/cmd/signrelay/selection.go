package main

import (
	"flag"
	"strconv"
	"strings"
	"time"
)

// selection selects messages that wait for an operator: dead letters or quarantined callbacks.
type selection struct {
	numbers               map[uint64]bool // nil for any
	stage, reason, source string
	since                 time.Time
}

func selectionFlags(fs *flag.FlagSet) {
	fs.String("reason", "", "only messages with this `reason`, as the listing prints it")
	fs.String("source", "", "only messages of this `source`")
	sinceFlag(fs, "only messages of the last `duration`, e.g. 24h or 7d")
}

// selection reads the flags.
func (c *call) selection() selection {
	s := selection{reason: c.flag("reason"), source: c.flag("source")}
	if c.flags.Lookup("stage") != nil {
		s.stage = c.flag("stage")
	}
	s.since = c.since()
	return s
}

// selectedNumbers reads the arguments.
func (c *call) selectedNumbers(listing string) (selection, error) {
	s := selection{numbers: map[uint64]bool{}}
	for _, text := range c.args {
		n, err := number(text, listing)
		if err != nil {
			return s, err
		}
		s.numbers[n] = true
	}
	if len(s.numbers) == 0 {
		return s, usageError{"want numbers from `" + listing + "`"}
	}
	return s, nil
}

// selectionToReplay reads numbers, or flags that select, or --all (the argument "all" is the same): exactly one of them.
func (c *call) selectionToReplay(listing string) (selection, error) {
	s := c.selection()
	args, all := c.args, value[bool](c, "all")
	if len(args) == 1 && args[0] == "all" {
		args, all = nil, true
	}
	flags := s.stage != "" || s.reason != "" || s.source != "" || !s.since.IsZero()
	switch {
	case len(args) > 0 && !flags && !all:
		return c.selectedNumbers(listing)
	case len(args) == 0 && flags != all:
		return s, nil
	default:
		return s, usageError{"want either numbers from `" + listing + "`, or flags that select, or --all"}
	}
}

func listed(numbers []uint64) string {
	list := make([]string, len(numbers))
	for i, n := range numbers {
		list[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(list, ", ")
}
