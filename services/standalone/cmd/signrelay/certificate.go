package main

import (
	"context"
	"fmt"

	"github.com/signrelay/signrelay/services/standalone"
)

func sandboxCertificate(_ context.Context, c *call) error {
	folder, err := c.argument("a folder")
	if err != nil {
		return err
	}
	made, err := standalone.MakeSandboxCertificate(folder)
	if err != nil {
		return err
	}
	result := "exist already"
	if made {
		result = "created"
	}
	fmt.Fprintf(c.stdout, "%s and %s: %s\n", standalone.SandboxKey, standalone.SandboxCertificate, result)
	return nil
}
