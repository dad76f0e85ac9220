// Package e2e tells stories through the public doors of a running Signrelay.
package e2e

import (
	"os"
	"testing"

	"github.com/signrelay/signrelay/tests/house"
)

func TestMain(m *testing.M) {
	status := m.Run()
	house.Cleanup()
	os.Exit(status)
}
