// Package restore makes backups as docs/operate.md describes, loses everything, and shows what is restored and what is sent twice.
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
