package main

import (
	"context"
	"fmt"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/standalone"
)

func configCheck(_ context.Context, c *call) error {
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	if err := service.Check(cfg); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "ok: %d sources\n", len(cfg.Sources))
	return nil
}

func configPrint(_ context.Context, c *call) error {
	return config.Print(c.stdout, c.cfg)
}
