package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/signrelay/signrelay/libs/operate"
)

func dlqReplayFlags(fs *flag.FlagSet) {
	dlqSelectionFlags(fs)
	fs.Bool("all", false, "replay all")
	stepFlags(fs, "replay")
	whyFlag(fs)
}

// dlqReplay reads the DLQ once for its plan. Later dead letters are not in the plan and are not replayed.
func dlqReplay(ctx context.Context, c *call) error {
	s, err := c.selectionToReplay(dlqListing)
	if err != nil {
		return err
	}
	env, done, err := open(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer done()
	p, err := c.prepare(ctx, env, operate.Replay, s.selects(operate.Dead))
	if err != nil {
		return err
	}
	left := missing(p.Plan, "the DLQ")
	if len(p.Lost) > 0 {
		left = errors.Join(left, fmt.Errorf("not replayed, because their streams no longer have them: %s", listed(numbersOf(p.Lost))))
	}
	if p.Items == 0 {
		fmt.Fprintln(c.stdout, "Nothing to replay.")
		return left
	}
	return errors.Join(c.runPrepared(ctx, p, "replayed", "it is no longer in the DLQ"), left)
}

// runPrepared prints the plan, asks for confirmation, and does its items.
func (c *call) runPrepared(ctx context.Context, p *operate.Prepared, done, gone string) error {
	return c.runPlan(ctx, planOf(p.Plan), done, stepsOf(p, gone), p.Begin)
}
