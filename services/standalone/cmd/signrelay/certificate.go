package main

import (
	"context"
	"fmt"

	"github.com/signrelay/signrelay/services/standalone"
)

func sandboxCertificate(_ context.Context, c *call) error {
	folder, err := c.only("a folder")
	if err != nil {
		return err
	}
	made, err := standalone.MakeSandboxCertificate(folder)
	if err != nil {
		return err
	}
	said := "they are there"
	if made {
		said = "made"
	}
	fmt.Fprintf(c.stdout, "%s and %s: %s\n", standalone.SandboxKey, standalone.SandboxCertificate, said)
	return nil
}
