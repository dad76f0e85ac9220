package realtest

import (
	"os"
	"testing"
)

// Missing ends a test whose program is not installed, with a hint how to install it. It skips the test. In CI it fails the test, because
// every program must be installed there.
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
