package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/templates"
	"github.com/signrelay/signrelay/services/standalone"
)

func configCheck(_ context.Context, c *call) error {
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	_, badTexts := templates.Open(cfg.Templates.Dir)
	if err := errors.Join(service.Check(cfg), badTexts); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "ok: %d sources\n", len(cfg.Sources))
	return nil
}

func configPrint(_ context.Context, c *call) error {
	return config.Print(c.stdout, c.cfg)
}
