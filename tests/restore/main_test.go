// Package restore makes backups as docs/operate.md describes, loses everything, and checks the restored events and the repeated messages.
package restore

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
