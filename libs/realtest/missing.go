package realtest

import (
	"os"
	"testing"
)

// Missing ends a test that needs a program that is not installed, and says how to install it. It skips the test; in CI, where every program
// must be installed, it fails the test.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Server marks a test that starts a server or a program, which description names in a few words. The short tests (go test -short), which
// `make check` runs, skip such a test.
func Server(t testing.TB, description string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("not run with -short: it starts %s", description)
	}
}
