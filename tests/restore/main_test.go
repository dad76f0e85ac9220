// Package restore takes backups as docs/operate.md says, loses everything, and shows what comes back and what comes twice.
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
