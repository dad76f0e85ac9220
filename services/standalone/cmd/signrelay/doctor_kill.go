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

	"github.com/signrelay/signrelay/services/standalone"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

// proveNoLoss runs doctor --kill.
func proveNoLoss(ctx context.Context, c *call) error {
	if !value[bool](c, "yes-this-is-a-test") {
		return usageError{"--kill is only for an installation without real data: confirm this with --yes-this-is-a-test"}
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
			fmt.Fprintf(c.stdout, "kill any part, and start it again. The proof takes at least %v.\n", time.Duration(p.Callbacks)*p.Every)
		} else {
			fmt.Fprintf(c.stdout, "the kill command runs %d times in this time.\n", p.Kills)
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
		IngestURL: strings.TrimRight(cmp.Or(c.flag("ingest-url"), ingestURL(c.cfg)), "/"),
		Callbacks: value[int](c, "callbacks"), Every: value[time.Duration](c, "every"),
		Kills: value[int](c, "kills"), RetryFor: value[time.Duration](c, "patience"),
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
	fmt.Fprintln(table, "callbacks\tkills\tattempts\tnot 2xx\tno response\taccepted\tstored once\tlost\tdoubled\tnever accepted\t")
	fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
		o.Sent, o.Kills, o.Attempts, o.Refused, o.Unanswered, o.Accepted, o.Stored, o.Lost, o.Doubled, o.NeverAccepted)
	if err := table.Flush(); err != nil {
		return err
	}
	if !o.Interrupted() {
		fmt.Fprintln(w, "No attempt failed, so this proves little: kill a part while callbacks are in flight.")
	}
	return nil
}
