package examples

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// environment returns the folder of the Python that python.sh installs, or the reason why there is none.
var environment = sync.OnceValues(func() (string, error) {
	var output strings.Builder
	cmd := exec.CommandContext(context.Background(), "sh", filepath.Join(testenv.Root(), "tests", "examples", "python.sh"))
	cmd.Stderr = &output
	folder, err := cmd.Output()
	if err != nil {
		return output.String(), err
	}
	return strings.TrimSpace(string(folder)), nil
})

// Python returns the path of a Python with the examples' packages and the CloudEvents SDK, and the variables with which it finds
// the contract's event_pb2. If python3 or its packages cannot be installed, the test is skipped; in CI it fails.
func Python(t *testing.T) (program string, env []string) {
	t.Helper()
	realtest.Server(t, "Python")
	folder, err := environment()
	if err != nil {
		realtest.Missing(t, "not run: it needs python3 with venv, pip, and its package index: %v\n%s", err, folder)
	}
	return filepath.Join(folder, "bin", "python"), []string{"PYTHONPATH=" + filepath.Join(folder, "contract"), "PYTHONDONTWRITEBYTECODE=1"}
}
