package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one running program.
type Process struct {
	Name string

	t       testing.TB
	path    string
	args    []string
	env     []string
	ready   string // returns 200 when the program is ready
	healthy string // of a NATS server: returns 200 when it has all its streams
	output  lockedBuffer
	cmd     *exec.Cmd
	ended   chan struct{}
}

// newProcess describes a program; Start runs it. It inherits no SIGNRELAY_… variable of the test.
func newProcess(t testing.TB, name, path, ready string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, t: t, path: path, args: args, ready: ready, env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- output of %s:\n%s", name, p.Output())
		}
	})
	return p
}

// SetEnv sets an environment variable for the next start.
func (p *Process) SetEnv(name, value string) { p.env = append(p.env, name+"="+value) }

// Start runs the program and waits until it is ready.
func (p *Process) Start() *Process {
	p.t.Helper()
	p.Launch()
	if p.ready != "" {
		p.awaitReady()
	}
	return p
}

// Launch runs the program without waiting until it is ready.
func (p *Process) Launch() *Process {
	p.t.Helper()
	p.cmd = exec.CommandContext(context.Background(), p.path, p.args...)
	p.cmd.Env = p.env
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed, the program ends too
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.Name, err)
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	return p
}

func (p *Process) awaitReady() {
	p.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		if responds(p.ready) {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready:\n%s", p.Name, p.Output())
		case <-deadline:
			p.t.Fatalf("%s was not ready within two minutes:\n%s", p.Name, p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the program as a crash does, and waits until it has ended.
func (p *Process) Kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Stop sends SIGTERM, waits for the end, and returns the exit status.
func (p *Process) Stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("stop %s: %v", p.Name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(35 * time.Second):
		p.t.Errorf("%s did not end within 35 s of SIGTERM", p.Name)
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Ended returns a channel that is closed when the program has ended for any reason.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Killed reports whether the program was ended by SIGKILL. It waits for the end.
func (p *Process) Killed() bool {
	<-p.ended
	status, is := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return is && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// ExitCode returns the exit status. It waits for the end.
func (p *Process) ExitCode() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// AdminURL returns the URL of the admin listener.
func (p *Process) AdminURL() string { return strings.TrimSuffix(p.ready, "/readyz") }

// Output returns the output so far.
func (p *Process) Output() string { return p.output.String() }

type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// FreeAddress returns a free loopback address. The ports are below the kernel's range for outgoing connections, so no client connection
// takes one before the program does. Each test program has its own block of ports, so no other package's test takes one.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.first == 0 {
		ports.first = claimBlock(t)
	}
	for range blockSize {
		port := ports.first + ports.next%blockSize
		ports.next++
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := net.Listen("tcp", addr)
		if err == nil {
			_ = listener.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

var ports struct {
	sync.Mutex
	first, next int
	lock        *os.File // held until the process ends
}

const (
	firstPort = 20000
	blockSize = 1000
	blocks    = 12
)

// claimBlock takes a block of ports for this process with a file lock, which ends with the process.
func claimBlock(t testing.TB) int {
	t.Helper()
	for n := range blocks {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("signrelay-ports-%d.lock", n))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			continue // locked by another user
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			ports.lock = file
			return firstPort + n*blockSize
		}
		_ = file.Close()
	}
	t.Fatalf("all %d blocks of ports are in use by other test programs", blocks)
	return 0
}
