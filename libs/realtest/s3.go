package realtest

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// S3Server is an S3 server for one test, with one empty bucket. Its objects are in its memory.
type S3Server struct {
	URL string // s3://bucket with the options of gocloud.dev/blob

	proxy *proxy
}

// s3Environment returns the folder of the Python that moto.sh installs, or the reason why there is none.
var s3Environment = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	var output strings.Builder
	cmd := exec.CommandContext(context.Background(), "sh", filepath.Join(filepath.Dir(here), "s3", "moto.sh"))
	cmd.Stderr = &output
	folder, err := cmd.Output()
	if err != nil {
		return output.String(), err
	}
	// The library reads them from the environment of the process. The server accepts every key. The library waits seconds between attempts.
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"} {
		if err := os.Setenv(name, value); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(string(folder)), nil
})

// S3 starts an S3 server on a free loopback port. It ends with the test. If Python or its packages cannot be installed, the test is skipped; in CI
// it fails.
func S3(t testing.TB) *S3Server {
	t.Helper()
	Server(t, "an S3 server")
	folder, err := s3Environment()
	if err != nil {
		Missing(t, "not run: it needs python3 with venv, pip, and its package index: %v\n%s", err, folder)
	}
	port := freePort(t)
	var output bytes.Buffer
	cmd := exec.CommandContext(context.Background(), filepath.Join(folder, "bin", "python"), filepath.Join(folder, "bin", "moto_server"), "-H", "127.0.0.1", "-p", port)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	const bucket = "archive"
	for deadline := time.Now().Add(time.Minute); ; {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1:"+port+"/"+bucket, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the S3 server does not respond: %v\n%s", err, output.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	s := &S3Server{proxy: &proxy{t: t, to: "127.0.0.1:" + port}}
	s.proxy.open()
	t.Cleanup(func() {
		if s.proxy.listener != nil {
			s.proxy.close()
		}
	})
	s.URL = "s3://" + bucket + "?region=us-east-1&s3ForcePathStyle=true&endpoint=http://" + s.proxy.addr
	return s
}

// Stop makes the server unreachable: connections to it are refused.
func (s *S3Server) Stop() { s.proxy.close() }

// Start makes it reachable again.
func (s *S3Server) Start() { s.proxy.open() }
