package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/libs/templates"
	"github.com/signrelay/signrelay/services/standalone"
)

func configCheckFlags(fs *flag.FlagSet) {
	fs.String("for", "", "check the start of these services, separated by commas, as programs of their own; without it, of `signrelay run`")
}

// configCheck says all that would stop a start, and all that can never work.
func configCheck(ctx context.Context, c *call) error {
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	mistakes, texts := standalone.Check(c.cfg), true
	if names := c.flag("for"); names != "" {
		texts = strings.Contains(names, flow.SMSSender) || strings.Contains(names, flow.EmailSender)
		if mistakes, err = standalone.CheckAlone(c.cfg, strings.Split(names, ",")); err != nil {
			return usageError{err.Error()}
		}
	}
	if texts {
		mistakes = errors.Join(mistakes, templates.Check(cfg))
	}
	if err := standalone.Once(errors.Join(mistakes, telemetry.CheckTraces(ctx))); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "ok: %d sources\n", len(cfg.Sources))
	if !texts {
		return nil
	}
	return printCosts(c.stdout, cfg)
}

func configPrint(_ context.Context, c *call) error {
	return config.Print(c.stdout, c.cfg)
}
