package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/printable"
)

// A command that changes many things prints its plan, asks, makes the changes one by one at a bounded rate, and prints a line for
// each. Who interrupts it can run it again for the rest.

// stepFlags are the flags of such a command.
func stepFlags(fs *flag.FlagSet, does string) {
	fs.Bool("yes", false, "do it without asking")
	wholeFlag(fs, "rate", 10, 1000, does+" at most this `number` a second")
}

// plan is what a command will do, in counts: it names nobody.
type plan struct {
	heading string // "To replay: 3 dead letters"
	rows    []planRow
	costs   []string // a sentence each
}

// planRow is a group of things that are alike.
type planRow struct {
	group string // a stage, a source, a channel
	n     int
	what  string
}

func (p plan) print(w io.Writer, rate int) {
	fmt.Fprintf(w, "%s, at most %d a second.\n", p.heading, rate)
	width := 12
	for _, r := range p.rows {
		width = max(width, len(r.group))
	}
	for _, r := range p.rows {
		fmt.Fprintf(w, "  %-*s  %d × %s\n", width, printable.Line(r.group), r.n, printable.Line(r.what))
	}
	for _, cost := range p.costs {
		fmt.Fprintln(w, cost)
	}
}

// step is one change.
type step struct {
	name string // "number 17"
	do   func(context.Context) (detail string, err error)
}

// stayError is the failure of one step. It says nothing about the next one, which is tried.
type stayError struct{ error }

func (e stayError) Unwrap() error { return e.error }

// stepWithin bounds a step. An interrupt does not cut a step short: it would leave a change half made.
const stepWithin = 30 * time.Second

// confirmed prints the plan and asks for confirmation; then it makes the steps. done is what becomes of each: "replayed".
func (c *call) confirmed(ctx context.Context, p plan, done string, steps []step) error {
	rate := value[int](c, "rate")
	p.print(c.stdout, rate)
	if err := c.agreed(ctx); err != nil {
		return err
	}
	return c.inSteps(ctx, done, rate, steps)
}

func (c *call) inSteps(ctx context.Context, done string, rate int, steps []step) error {
	turn := time.NewTicker(time.Second / time.Duration(rate))
	defer turn.Stop()
	var stay []string
	for i, s := range steps {
		if i > 0 {
			select {
			case <-turn.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %d of %d %s, %d left; run the command again for the rest", i-len(stay), len(steps), done, len(steps)-i)
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepWithin)
		detail, err := s.do(bounded)
		cancel()
		outcome := "is " + done
		switch {
		case errors.As(err, new(stayError)):
			stay = append(stay, s.name)
			outcome, detail = "is not "+done, err.Error()
		case err != nil:
			return fmt.Errorf("%w; %d of %d %s, %d left: run the command again for the rest", err, i-len(stay), len(steps), done, len(steps)-i)
		}
		line := fmt.Sprintf("%s %s (%d of %d)", s.name, outcome, i+1, len(steps))
		if detail != "" {
			line += ": " + detail
		}
		if err := c.say("%s", line); err != nil {
			return err
		}
	}
	if len(stay) > 0 {
		return fmt.Errorf("%d of %d %s; not %s: %s", len(steps)-len(stay), len(steps), done, done, strings.Join(stay, ", "))
	}
	return nil
}

// agreed asks, unless --yes said so before. Where there is no terminal, nothing is done.
func (c *call) agreed(ctx context.Context) error {
	if c.flag("yes") == "true" {
		return nil
	}
	if !c.attended {
		return errors.New("nothing is done. Not a terminal: pass --yes to confirm")
	}
	fmt.Fprint(c.stdout, "Continue? [y/N] ")
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.stdin).ReadString('\n')
		lines <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-lines:
		if line == "y" || line == "yes" {
			return nil
		}
	case <-ctx.Done():
	}
	return errors.New("nothing is done")
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "person":
		return strconv.Itoa(n) + " people"
	default:
		return strconv.Itoa(n) + " " + what + "s"
	}
}
