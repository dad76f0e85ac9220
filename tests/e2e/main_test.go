// Package e2e plays stories through the public interfaces of a running Signrelay.
package e2e

import (
	"os"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}
