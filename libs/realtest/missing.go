package realtest

import (
	"os"
	"testing"
)

// Missing ends a test that wants a program which is not here, and says how to get it. It skips the test; in CI, where every
// program must be, it fails it.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
