// Package observe_test checks Signrelay as an operator's probes, Prometheus and dashboard do: from outside, with real programs, during
// outages and stories.
package observe_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// debian returns the path of a program in Debian's package prometheus. If it is missing, the test is skipped; in CI it fails.
func debian(t *testing.T, program string) string {
	t.Helper()
	realtest.Server(t, program)
	path, err := exec.LookPath(program)
	if err != nil {
		realtest.Missing(t, "install Prometheus for this test (Debian: prometheus): %v", err)
	}
	return path
}

// file returns the path of a file in the repository.
func file(name ...string) string { return filepath.Join(append([]string{testenv.Root()}, name...)...) }

func read(t *testing.T, name ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(file(name...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// get sends a GET request and returns the status and the body; the status is 0 if there is no response within 10 s.
func get(t *testing.T, address string) (int, []byte) {
	t.Helper()
	return request(t, http.MethodGet, address)
}

// request sends a request with any method, such as POST for a link's button.
func request(t *testing.T, method, address string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0") // otherwise the shortener handles the request as a robot's
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, body
}
