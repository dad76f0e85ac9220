package subscribe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/tests/examples"
	"github.com/signrelay/signrelay/tests/testenv"
)

// Shell is the working folder of a reader of the page: with proto/ and examples/ in it, and the tools in PATH.
type Shell struct {
	t   *testing.T
	dir string
	env []string
}

// NewShell makes a Shell; env has the variables that the page exports.
func NewShell(t *testing.T, env ...string) *Shell {
	t.Helper()
	dir := t.TempDir()
	s := &Shell{t: t, dir: dir, env: append(env, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir)}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"proto", "examples"} {
		s.link(filepath.Join(testenv.Root(), folder), folder)
	}
	return s
}

func (s *Shell) link(from, to string) {
	s.t.Helper()
	if err := os.Symlink(from, filepath.Join(s.dir, to)); err != nil {
		s.t.Fatal(err)
	}
}

// WithTool adds a program to PATH.
func (s *Shell) WithTool(name, path string) {
	s.t.Helper()
	s.link(path, filepath.Join("bin", name))
}

// WithPython adds the examples' Python, with the packages that the page installs, to PATH. Without Python the test is skipped.
func (s *Shell) WithPython() {
	s.t.Helper()
	python, _ := examples.Python(s.t)
	// A virtual environment's Python does not find its packages if it is started through a link.
	script := "#!/bin/sh\nexec '" + python + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(s.dir, "bin", "python"), []byte(script), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// Run runs a command that ends, and returns its output.
func (s *Shell) Run(command string) string {
	s.t.Helper()
	cmd := s.command(command)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, output.String())
	}
	return output.String()
}

// Follow runs a command that does not end by itself, stops it when it has printed all expected texts, and returns its output. Meanwhile it calls a function repeatedly.
func (s *Shell) Follow(command string, wanted []string, meanwhile func()) string {
	s.t.Helper()
	cmd := s.command(command)
	var output servicetest.Logged
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Error(err)
		}
		_ = cmd.Wait()
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); meanwhile() {
		missing := false
		for _, w := range wanted {
			missing = missing || !strings.Contains(output.String(), w)
		}
		if !missing {
			return output.String()
		}
		select {
		case <-s.t.Context().Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.t.Fatalf("%s: has not printed %q:\n%s", command, wanted, output.String())
	return ""
}

func (s *Shell) command(command string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}
