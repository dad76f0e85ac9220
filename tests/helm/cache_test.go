package helm_test

import (
	"os"
	"testing"
)

// The tests read files outside of this module, of which Go's cache of results knows nothing. It does know the variables that a test reads:
// the Makefile sets this one to a sum of all files.
func TestTheCacheOfResultsKnowsTheFiles(t *testing.T) {
	t.Parallel()
	t.Logf("the files' sum: %q", os.Getenv("SIGNRELAY_TEST_FILES"))
}
