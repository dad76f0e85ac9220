// Package e2e tells stories through the public doors of a running Signrelay.
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
