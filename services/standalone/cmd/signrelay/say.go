package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/printable"
)

// say prints one line, with control characters escaped. Ids come from providers, and control characters in an id could move the cursor or
// forge a line.
func (c *call) say(format string, args ...any) error {
	_, err := fmt.Fprintln(c.stdout, printable.Line(fmt.Sprintf(format, args...)))
	return err
}

func (c *call) sayHeader(h nats.Header) error {
	for _, name := range sortedNames(h) {
		for _, value := range h[name] {
			if err := c.say("%s: %s", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// sayBody prints each line of a body after a bar, so that it cannot be mistaken for our own output. --body prints the body byte for byte.
func (c *call) sayBody(body string) (err error) {
	for line := range strings.Lines(printable.Lines(body)) {
		err = errors.Join(err, c.say("| %s", strings.TrimSuffix(line, "\n")))
	}
	return err
}
