package testenv

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
)

// NATSCLI returns the path of the nats command line: the one that the Makefile builds, or the one in PATH. If there is none, the test is
// skipped; in CI it fails.
func NATSCLI(t testing.TB) string {
	t.Helper()
	realtest.Server(t, "the nats command line")
	if built, err := filepath.Glob(filepath.Join(Root(), ".tools", "natscli-*", "nats")); err == nil && len(built) > 0 {
		return built[len(built)-1]
	}
	path, err := exec.LookPath("nats")
	if err != nil {
		realtest.Missing(t, "not run: the nats command line is not built; make test builds it")
	}
	return path
}
