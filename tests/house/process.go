package house

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
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
	ready   string // URL that answers 200 when it is
	healthy string // of a NATS server: URL that answers 200 when it has all its streams
	output  lockedBuffer
	cmd     *exec.Cmd
	ended   chan struct{}
}

// newProcess describes a program; Start runs it. It inherits nothing of SIGNRELAY_… from the test's own environment.
func newProcess(t testing.TB, name, path, ready string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, t: t, path: path, args: args, ready: ready, env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- %s said:\n%s", name, p.Output())
		}
	})
	return p
}

// Start runs the program and waits until it is ready.
func (p *Process) Start() *Process {
	p.t.Helper()
	p.cmd = exec.CommandContext(context.Background(), p.path, p.args...)
	p.cmd.Env = p.env
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves nobody behind
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.Name, err)
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	if p.ready != "" {
		p.awaitReady()
	}
	return p
}

func (p *Process) awaitReady() {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if answers(p.ready) {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready:\n%s", p.Name, p.Output())
		case <-deadline:
			p.t.Fatalf("%s was not ready within 30 s:\n%s", p.Name, p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends it at once, as a crash does, and waits until it is gone.
func (p *Process) Kill() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Stop asks it to end and waits; it returns the exit status.
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

// Ended is closed when it has ended, by whatever cause.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is all it said so far.
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

// freeAddress is a loopback address on which nobody listens now. Ports below the kernel's range for outgoing connections
// are tried one after another, so that no client's connection takes it before the program does.
func freeAddress(t testing.TB) string {
	t.Helper()
	nextPort.Lock()
	defer nextPort.Unlock()
	for range 2000 {
		nextPort.port++
		if nextPort.port >= 32000 {
			nextPort.port = 20000
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(nextPort.port))
		listener, err := net.Listen("tcp", addr)
		if err == nil {
			_ = listener.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

var nextPort = struct {
	sync.Mutex
	port int
}{port: 20000 + os.Getpid()*37%10000}
