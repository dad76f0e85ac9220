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

// A command that changes many things prints its plan and asks for confirmation. Then it makes the changes one by one at a bounded rate, and
// prints a line for each. After an interrupt, run it again for the rest.

// stepFlags adds the flags of such a command.
func stepFlags(fs *flag.FlagSet, verb string) {
	fs.Bool("yes", false, "do not ask for confirmation")
	wholeFlag(fs, "rate", 10, 1000, verb+" at most this `number` a second")
}

// plan contains the changes of a command, in counts. It contains no names of people.
type plan struct {
	heading string // "To replay: 3 dead letters"
	rows    []planRow
	effects []string // one sentence each
}

// planRow is a group of equal changes.
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
	for _, effect := range p.effects {
		fmt.Fprintln(w, effect)
	}
}

// step is one change.
type step struct {
	name string // "number 17"
	do   func(context.Context) (detail string, err error)
}

// stepError is the failure of a single step. The next step is still tried.
type stepError struct{ error }

func (e stepError) Unwrap() error { return e.error }

// stepTimeout bounds a step. An interrupt does not cancel a step, because that would leave a change incomplete.
const stepTimeout = 30 * time.Second

// runPlan prints the plan, asks for confirmation, and runs the steps. done is the result of a step: "replayed". begin is called after the
// confirmation.
func (c *call) runPlan(ctx context.Context, p plan, done string, steps []step, begin ...func(context.Context) error) error {
	rate := value[int](c, "rate")
	p.print(c.stdout, rate)
	if err := c.confirm(ctx); err != nil {
		return err
	}
	for _, f := range begin {
		if err := f(ctx); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
	}
	return c.runSteps(ctx, done, rate, steps)
}

func (c *call) runSteps(ctx context.Context, done string, rate int, steps []step) error {
	turn := time.NewTicker(time.Second / time.Duration(rate))
	defer turn.Stop()
	var failed []string
	for i, s := range steps {
		if i > 0 {
			select {
			case <-turn.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %d of %d %s, %d left; run the command again for the rest", i-len(failed), len(steps), done, len(steps)-i)
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
		detail, err := s.do(bounded)
		cancel()
		outcome := "is " + done
		switch {
		case errors.As(err, new(stepError)):
			failed = append(failed, s.name)
			outcome, detail = "is not "+done, err.Error()
		case err != nil:
			return fmt.Errorf("%w; %d of %d %s, %d left: run the command again for the rest", err, i-len(failed), len(steps), done, len(steps)-i)
		}
		line := fmt.Sprintf("%s %s (%d of %d)", s.name, outcome, i+1, len(steps))
		if detail != "" {
			line += ": " + detail
		}
		if err := c.say("%s", line); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d %s; not %s: %s", len(steps)-len(failed), len(steps), done, done, strings.Join(failed, ", "))
	}
	return nil
}

// confirm asks for confirmation, unless --yes is given. Without a terminal and without --yes it refuses.
func (c *call) confirm(ctx context.Context) error {
	if value[bool](c, "yes") {
		return nil
	}
	if !c.terminal {
		return errors.New("nothing was changed. Not a terminal: pass --yes to confirm")
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
	return errors.New("nothing was changed")
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
