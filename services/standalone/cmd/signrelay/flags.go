package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// whole is the value of a flag for a whole number from 1 to a limit.
type whole struct{ n, most, example int }

func wholeFlag(fs *flag.FlagSet, name string, preset, most int, usage string) {
	fs.Var(&whole{n: preset, most: most, example: preset}, name, usage)
}

func (w *whole) String() string { return strconv.Itoa(w.n) }
func (w *whole) Get() any       { return w.n }

func (w *whole) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > w.most {
		return fmt.Errorf("want a number from 1 to %d, such as %d", w.most, w.example)
	}
	w.n = n
	return nil
}

// span is the value of a flag for a duration.
type span struct{ d, least, example time.Duration }

func spanFlag(fs *flag.FlagSet, name string, preset, least time.Duration, usage string) {
	fs.Var(&span{d: preset, least: least, example: preset}, name, usage)
}

func (s *span) String() string { return s.d.String() }
func (s *span) Get() any       { return s.d }

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < s.least {
		return fmt.Errorf("want a duration of at least %v, such as %v", s.least, s.example)
	}
	s.d = d
	return nil
}

// oneOf is the value of a flag for one of a few names, or for none.
type oneOf struct {
	name string
	of   []string
}

func oneOfFlag(fs *flag.FlagSet, name string, of []string, usage string) {
	fs.Var(&oneOf{of: of}, name, usage)
}

func (o *oneOf) String() string { return o.name }
func (o *oneOf) Get() any       { return o.name }

func (o *oneOf) Set(text string) error {
	if text != "" && !slices.Contains(o.of, text) {
		return fmt.Errorf("want one of %s", strings.Join(o.of, ", "))
	}
	o.name = text
	return nil
}

// names is the value of a flag for names, separated by commas.
type names []string

func namesFlag(fs *flag.FlagSet, name, usage string) { fs.Var(new(names), name, usage) }

func (n *names) String() string { return strings.Join(*n, ",") }
func (n *names) Get() any       { return []string(*n) }

func (n *names) Set(text string) error {
	*n = nil
	if text != "" {
		*n = strings.Split(text, ",")
	}
	return nil
}

// value returns the value of a flag of type T.
func value[T any](c *call, name string) T {
	var zero T
	if f, ok := c.flags.Lookup(name).Value.(flag.Getter); ok {
		if v, ok := f.Get().(T); ok {
			return v
		}
	}
	return zero
}
