package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/standalone"
)

const configCheckName = "config check"

func configCheckFlags(fs *flag.FlagSet) {
	namesFlag(fs, "for", "check the start of these `services`, separated by commas, as separate programs; without it, the start of `signrelay run`")
}

// configCheck reports all mistakes that would stop a start, and settings that can never work.
func configCheck(ctx context.Context, c *call) error {
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	mistakes, sends, warnings := standalone.Check(c.cfg), true, standalone.Warnings(c.cfg)
	if names := value[[]string](c, "for"); len(names) > 0 {
		sends = slices.Contains(names, flow.SMSSender) || slices.Contains(names, flow.EmailSender)
		if mistakes, err = standalone.CheckAlone(c.cfg, names); err != nil {
			return usageError{err.Error()}
		}
		warnings = slices.DeleteFunc(config.Warnings(c.cfg), func(w config.Warning) bool {
			return strings.HasPrefix(w.Key, "shortener.") && !slices.Contains(names, flow.Shortener)
		})
	}
	for _, w := range warnings {
		fmt.Fprintf(c.stderr, "warning: %s: %s: %s\n", w.Key, w.Found, w.Fix)
	}
	if err := standalone.Once(errors.Join(c.mistakes, mistakes, telemetry.CheckTraces(ctx))); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "ok: %d sources\n", len(cfg.Sources))
	if !sends {
		return nil
	}
	return printCosts(c.stdout, cfg)
}

func configPrint(_ context.Context, c *call) error {
	return config.Print(c.stdout, c.cfg)
}
