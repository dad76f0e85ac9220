// Package observe_test looks at Signrelay as an operator's probes, Prometheus and dashboard do: from outside, at real
// programs, while parts go away and stories play.
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

// debian is the path of a program of Debian's package prometheus. Where it is missing the test is skipped, and in CI it fails.
func debian(t *testing.T, program string) string {
	t.Helper()
	realtest.Server(t, program)
	path, err := exec.LookPath(program)
	if err != nil {
		realtest.Missing(t, "install Prometheus for this test (Debian: prometheus): %v", err)
	}
	return path
}

// file is the path of a file of the whole house.
func file(name ...string) string { return filepath.Join(append([]string{testenv.Root()}, name...)...) }

func read(t *testing.T, name ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(file(name...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// get asks an address and returns the status and the body; 0 where nobody answers within 10 s.
func get(t *testing.T, address string) (int, []byte) {
	t.Helper()
	return request(t, http.MethodGet, address)
}

// request is get with another method: a link's button is pressed with POST.
func request(t *testing.T, method, address string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0") // else a link takes us for a robot
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil
	}
	return answer.StatusCode, body
}
