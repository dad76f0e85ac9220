package helm_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// Rendering a chart makes much garbage: with fewer collections the tests need 13 s of CPU instead of 18.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// Go's cache of test results does not know the files outside this module, which these tests read. It knows the variables that a test reads,
// and the Makefile sets this one to a checksum of the files.
func TestCacheOfResultsKnowsTheFiles(t *testing.T) {
	t.Parallel()
	t.Logf("checksum of the files: %q", os.Getenv("SIGNRELAY_TEST_FILES"))
}
