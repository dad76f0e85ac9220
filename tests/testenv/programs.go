// Package testenv starts Signrelay as its users run it, with real processes, for the tests that use its public interfaces.
package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"

	"github.com/signrelay/signrelay/libs/realtest"
)

// programs builds each program once per test run, without the race detector: the packages' own tests run with it.
type programs struct {
	dir   string // for variants, which only one package needs
	mutex sync.Mutex
	built map[string]*build
}

type build struct {
	once sync.Once
	err  error
}

var built = sync.OnceValues(func() (*programs, error) {
	dir, err := os.MkdirTemp("", "signrelay-programs-")
	return &programs{dir: dir, built: map[string]*build{}}, err
})

// Cleanup removes the built variants. Call it at the end of TestMain.
func Cleanup() {
	if p, err := built(); err == nil {
		_ = os.RemoveAll(p.dir)
	}
}

// shared is the folder of the programs that all packages' tests start. Linking one takes 2 s of CPU, and ten packages start eight of them.
// go build does not link a program that is up to date, but it takes half a second of CPU to find that out. The Makefile therefore sets
// SIGNRELAY_TEST_RUN to a value of its run: each program is built once for each value. Without the variable, each package builds it.
func shared() string { return filepath.Join(Root(), "bin", "tests") }

// overlaid reports whether the test runs with changed source files, as each case of TestGuards does. Its programs are then its own: two cases
// at the same time must not start each other's.
func overlaid() bool { return strings.Contains(os.Getenv("GOFLAGS"), "-overlay") }

// builtInRun reports whether another package's tests have built the program in the same run.
func builtInRun(path string) bool {
	run := os.Getenv("SIGNRELAY_TEST_RUN")
	stamp, err := os.ReadFile(path + ".run")
	return run != "" && err == nil && string(stamp) == run
}

// Root returns the repository's folder. Go's test cache does not track files outside the module tests, but it tracks the variables that a
// test reads. The Makefile sets this one to a checksum of all files.
func Root() string {
	_ = os.Getenv("SIGNRELAY_TEST_FILES")
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Variant is another way to build the services. The zero value builds them as they are released.
type Variant struct {
	Name string // in the names of the built programs
	Args []string
}

// Program returns the path of a program built from source: "signrelay", "nats-server", "example-nats", "example-kafka", or a service's
// name.
func Program(t testing.TB, name string) string {
	t.Helper()
	return ProgramAs(t, name, Variant{})
}

// ProgramAs returns the path of a program built as this variant.
func ProgramAs(t testing.TB, name string, as Variant) string {
	t.Helper()
	realtest.Server(t, "the program "+name)
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p.mutex.Lock()
	file := strings.Trim(name+"-"+as.Name, "-")
	b := p.built[file]
	if b == nil {
		b = &build{}
		p.built[file] = b
	}
	p.mutex.Unlock()
	path := filepath.Join(p.dir, file)
	if as.Name == "" && !overlaid() {
		path = filepath.Join(shared(), file)
	}
	b.once.Do(func() { b.err = makeProgram(name, path, as.Args) })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return path
}

// makeProgram builds a program. The tests of other packages wait meanwhile.
func makeProgram(name, path string, more []string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	lock := flock.New(path + ".lock")
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if builtInRun(path) {
		return nil
	}
	pkg := "./services/" + name + "/cmd/" + name
	folder := Root()
	switch name {
	case "signrelay", "demo":
		pkg = "./services/standalone/cmd/" + name
	case "bare":
		folder, pkg = filepath.Join(Root(), "tests"), "./bench/bare"
	case "example-nats", "example-kafka":
		folder, pkg = filepath.Join(Root(), "examples", "go"), "./"+strings.TrimPrefix(name, "example-")
	case "nats-server":
		pkg = "github.com/nats-io/nats-server/v2"
	}
	args := append(append([]string{"build", "-o", path}, more...), pkg)
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Dir = folder
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return os.WriteFile(path+".run", []byte(os.Getenv("SIGNRELAY_TEST_RUN")), 0o600)
}
