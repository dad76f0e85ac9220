package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	"github.com/signrelay/signrelay/services/standalone"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

// proveNoLoss is doctor --kill.
func proveNoLoss(ctx context.Context, c *call) error {
	if c.flag("yes-this-is-a-test") != "true" {
		return usageError{"--kill is for a set-up in which nothing is anybody's: say so with --yes-this-is-a-test"}
	}
	p := c.proof()
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	if !c.json() {
		fmt.Fprintf(c.stdout, "Sending %d test events, one every %v; ", p.Callbacks, p.Every)
		if p.Kill == nil {
			fmt.Fprintf(c.stdout, "kill what you like, and start it again. It takes at least %v.\n", time.Duration(p.Callbacks)*p.Every)
		} else {
			fmt.Fprintf(c.stdout, "runs of the command that kills meanwhile: %d.\n", p.Kills)
		}
	}
	outcome, err := p.Prove(ctx, cfg, env.JS)
	if err != nil {
		return err
	}
	if c.json() {
		err = printJSON(c.stdout, outcome)
	} else {
		err = printOutcome(c.stdout, outcome)
	}
	return cmp.Or(err, outcome.Failed())
}

// proof reads the flags.
func (c *call) proof() doctor.Proof {
	p := doctor.Proof{
		IngestURL: strings.TrimRight(cmp.Or(c.flag("ingest-url"), "http://"+dialable(ingestsettings.Section.Of(c.cfg).Addr)), "/"),
		Callbacks: value[int](c, "callbacks"), Every: value[time.Duration](c, "every"),
		Kills: value[int](c, "kills"), Patience: value[time.Duration](c, "patience"),
	}
	if command := c.flag("kill-command"); command != "" {
		p.Kill = func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, "sh", "-c", command)
			cmd.Stdout, cmd.Stderr = c.stderr, c.stderr
			return cmd.Run()
		}
	}
	return p
}

func printOutcome(w io.Writer, o doctor.Outcome) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "callbacks\tkills\tattempts\tnot 2xx\tno answer\taccepted\tstored once\tlost\tdoubled\tnever accepted\t")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
		o.Sent, o.Kills, o.Attempts, o.Refused, o.Unheard, o.Accepted, o.Stored, o.Lost, o.Doubled, o.Unsettled)
	if err := table.Flush(); err != nil {
		return err
	}
	if !o.Interrupted() {
		fmt.Fprintln(w, "Nothing failed meanwhile, so this proves little: kill something while the callbacks are on their way.")
	}
	return nil
}
