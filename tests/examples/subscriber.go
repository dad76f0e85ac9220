// Package examples runs the programs of examples/ as other teams do, each as a process.
package examples

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signrelay/signrelay/tests/testenv"
)

// Languages are the languages of the examples.
var Languages = []string{"go", "python"}

// Each runs a test in every language, at the same time; Python is skipped if it is missing.
func Each(t *testing.T, test func(t *testing.T, language string)) {
	t.Helper()
	for _, language := range Languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if language == "python" {
				Python(t) // skips if it is missing
			}
			test(t, language)
		})
	}
}

// Subscriber is a running example.
type Subscriber struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *os.File

	mutex  sync.Mutex
	lines  []string
	stderr strings.Builder // its standard error
	read   sync.WaitGroup
}

// Start runs the example for "nats" or "kafka" in a language, and reads its lines as it prints them.
func Start(t *testing.T, language, over string, env ...string) *Subscriber {
	t.Helper()
	s := StartUnread(t, language, over, env...)
	s.read.Go(s.collect)
	return s
}

// StartUnread runs an example, and reads its lines only after it has ended: when the pipe is full, it blocks during its work.
func StartUnread(t *testing.T, language, over string, env ...string) *Subscriber {
	t.Helper()
	output, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = input.Close() }()
	cmd := command(t, language, over)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, env...)
	s := &Subscriber{t: t, cmd: cmd, output: output}
	cmd.Stdout, cmd.Stderr = input, io.MultiWriter(t.Output(), (*stderrWriter)(s))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed, the example ends too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			s.Kill()
		}
		_ = output.Close()
	})
	return s
}

func command(t *testing.T, language, over string) *exec.Cmd {
	t.Helper()
	if language == "go" {
		return exec.CommandContext(context.Background(), testenv.Program(t, "example-"+over))
	}
	python, env := Python(t)
	cmd := exec.CommandContext(context.Background(), python, over+"_subscriber.py")
	cmd.Dir, cmd.Env = filepath.Join(testenv.Root(), "examples", language), env
	return cmd
}

func (s *Subscriber) collect() {
	for lines := bufio.NewScanner(s.output); lines.Scan(); {
		s.mutex.Lock()
		s.lines = append(s.lines, lines.Text())
		s.mutex.Unlock()
	}
}

// Lines returns the lines that it has printed so far.
func (s *Subscriber) Lines() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.lines)
}

// stderrWriter is a Subscriber that collects its standard error.
type stderrWriter Subscriber

func (s *stderrWriter) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.stderr.Write(p)
}

// Stderr returns its standard error so far.
func (s *Subscriber) Stderr() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.stderr.String()
}

// Stuck reports whether the example cannot print: a pipe holds 64 KiB in pages, and a line does not span two pages.
func (s *Subscriber) Stuck() bool {
	raw, err := s.output.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var waiting int
	if err := raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		s.t.Fatal(err)
	}
	return err == nil && waiting > 60<<10
}

// Kill ends the example at once, as a crash does, and returns all lines that it printed.
func (s *Subscriber) Kill() []string {
	_ = s.cmd.Process.Kill() // fails only if it has ended
	return s.rest()
}

// Stop sends SIGTERM, after which it must end with status 0, and returns all lines that it printed.
func (s *Subscriber) Stop() []string {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() {
		s.t.Error("it has not ended within 30 s of SIGTERM")
		_ = s.cmd.Process.Kill()
	})
	defer late.Stop()
	lines := s.rest()
	if status := s.cmd.ProcessState.ExitCode(); status != 0 {
		s.t.Errorf("it ended with status %d", status)
	}
	return lines
}

func (s *Subscriber) rest() []string {
	s.read.Wait()
	s.collect() // StartUnread reads the lines only here
	_ = s.cmd.Wait()
	return s.Lines()
}
